"""Tables and their columns: how each is made, changed and dropped."""

import re
from collections.abc import Iterable

from migrations.authoring.drafting._enums import rebuilt_enums
from migrations.authoring.drafting.names import ColumnDefinition, last, parent, parts, plain
from migrations.authoring.drafting.schema_changes import (
    Comparison,
    Phase,
    Rank,
    SchemaChange,
    columns_of,
    reverse,
    schema_change,
)
from migrations.catalog.contents import Catalog, Difference

_SERIAL = {"integer": "SERIAL", "bigint": "BIGSERIAL", "smallint": "SMALLSERIAL"}
_WIDER_TYPES = {("smallint", "integer"), ("smallint", "bigint"), ("integer", "bigint"), ("real", "double precision")}
_INLINE = ("PRIMARY KEY", "UNIQUE", "CHECK", "EXCLUDE")
_SETTINGS = ("row level security", "forced")


def table_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """What it takes to make, change and drop tables; foreign keys, indexes and the rest are made on their own."""
    for found in compared.of_kind("table"):
        if found.change == "added":
            yield _created(compared.second, found.name, found.after or "", compared)
        elif found.change == "removed":
            created = _created(compared.first, found.name, found.before or "", compared)
            yield reverse(created, Rank.DROP_TABLE, "contract")
        else:
            yield from _settings(found)
        if found.change != "changed":
            yield from _row_security(found)


def column_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """What it takes to add, change and drop columns of tables that stay."""
    rebuilt = rebuilt_enums(compared)
    for found in compared.of_kind("column"):
        table, column = parent(found.name), last(found.name)
        if compared.comes_with_a_table(table) or compared.goes_with_a_table(table):
            continue
        if found.change == "added":
            yield from _added(table, column, found.after or "")
        elif found.change == "removed":
            yield from _removed(table, column, found.before or "")
        else:
            before, after = ColumnDefinition(found.before or ""), ColumnDefinition(found.after or "")
            if before.type == after.type and after.type.removesuffix("[]") in rebuilt:
                before.default = after.default
            yield from _altered(found.name, before, after)


def serial_sequences(catalog: Catalog) -> frozenset[str]:
    """The sequences that come and go with a column: of serial and of identity columns."""
    names = {one.name for one in catalog.of_kind("sequence")}
    own: set[str] = set()
    for one in catalog.of_kind("column"):
        sequence = _own_sequence(one.name)
        definition = ColumnDefinition(one.definition)
        if definition.identity or _is_serial(one.name, definition):
            own |= {name for name in names if plain(parts(name)[-1]) == sequence}
    return frozenset(own)


def is_inline(constraint: str) -> bool:
    """Whether a constraint is written within its table; foreign keys come when all tables are there."""
    return constraint.startswith(_INLINE) and not constraint.endswith(" NOT VALID")


def _created(catalog: Catalog, table: str, definition: str, compared: Comparison) -> SchemaChange:
    columns = columns_of(catalog, table)
    order = {name: place for place, name in enumerate(compared.column_order.get(plain(last(table)), ()))}
    lines = [
        f"{name} {_column_sql(f'{table}.{name}', text)}"
        for name, text in sorted(columns.items(), key=lambda item: (order.get(plain(item[0]), len(order)), item[0]))
    ]
    constraints = [one for one in catalog.of_kind("constraint") if parent(one.name) == table]
    lines += [
        f"CONSTRAINT {last(one.name)} {one.definition}"
        for one in sorted(constraints, key=lambda one: (not one.definition.startswith("PRIMARY"), one.name))
        if is_inline(one.definition)
    ]
    body = ",\n".join(f"  {line}" for line in lines)
    kind = "UNLOGGED TABLE" if definition.startswith("unlogged") else "TABLE"
    options = re.search(r" with \((.*)\)$", definition)
    partition = re.search(r"partitioned by (.+?\))(?: |$)", definition)
    tail = f" PARTITION BY {partition[1]}" if partition else ""
    tail += f" WITH ({options[1]})" if options else ""
    up = f"CREATE {kind} {table} (\n{body}\n){tail}"
    return schema_change(Rank.TABLE, up, f"DROP TABLE {table}", subject=f"table {table}")


def _row_security(found: Difference) -> Iterable[SchemaChange]:
    """Row-level security of a table that is made or dropped goes with it."""
    definition = found.after or found.before or ""
    wanted = [word for word in _SETTINGS if word in definition]
    if wanted:
        statements = tuple(_set_row_security(found.name, word, on=True) for word in wanted)
        up, down = (statements, ()) if found.change == "added" else ((), statements)
        rank = Rank.TABLE_SETTING if found.change == "added" else Rank.DROP_TRIGGER
        phase: Phase = "expand" if found.change == "added" else "contract"
        yield schema_change(rank, up, down, phase=phase, subject=f"row-level security of {found.name}")


def _settings(found: Difference) -> Iterable[SchemaChange]:
    before, after = found.before or "", found.after or ""
    for word in _SETTINGS:
        if (word in before) != (word in after):
            on, off = (_set_row_security(found.name, word, on=state) for state in (True, False))
            tightens = word in after
            yield schema_change(
                Rank.TABLE_SETTING,
                on if tightens else off,
                off if tightens else on,
                phase="contract" if tightens else "expand",
                subject=f"row-level security of {found.name}",
            )
    was, wanted = (dict(_options(text)) for text in (before, after))
    if was != wanted:
        yield schema_change(
            Rank.TABLE_SETTING,
            _set_options(found.name, was, wanted),
            _set_options(found.name, wanted, was),
            subject=f"table {found.name}",
        )
    if before.startswith("unlogged") != after.startswith("unlogged"):
        logged, unlogged = (f"ALTER TABLE {found.name} SET {word}" for word in ("LOGGED", "UNLOGGED"))
        to, back = (logged, unlogged) if before.startswith("unlogged") else (unlogged, logged)
        yield schema_change(Rank.TABLE_SETTING, to, back, subject=f"table {found.name}")


def _options(definition: str) -> Iterable[tuple[str, str]]:
    found = re.search(r" with \((.*)\)$", definition)
    for option in found[1].split(", ") if found else ():
        name, _, value = option.partition("=")
        yield name, value


def _set_options(table: str, was: dict[str, str], wanted: dict[str, str]) -> tuple[str, ...]:
    changed = ", ".join(f"{name} = {value}" for name, value in wanted.items() if was.get(name) != value)
    gone = ", ".join(name for name in was if name not in wanted)
    return (
        *((f"ALTER TABLE {table} SET ({changed})",) if changed else ()),
        *((f"ALTER TABLE {table} RESET ({gone})",) if gone else ()),
    )


def _set_row_security(table: str, word: str, *, on: bool) -> str:
    if word == "forced":
        return f"ALTER TABLE {table} {'FORCE' if on else 'NO FORCE'} ROW LEVEL SECURITY"
    return f"ALTER TABLE {table} {'ENABLE' if on else 'DISABLE'} ROW LEVEL SECURITY"


def _added(table: str, column: str, text: str) -> Iterable[SchemaChange]:
    """Add a column; one that must be given is required only when the application that gives it runs."""
    definition = ColumnDefinition(text)
    filled = definition.default or definition.identity or definition.generated
    required = definition.not_null and not filled
    wanted = text.replace(" NOT NULL", "", 1) if required else text
    head, subject = f"ALTER TABLE {table}", f"column {table}.{column}"
    yield schema_change(
        Rank.COLUMN,
        f"{head} ADD COLUMN {column} {_column_sql(f'{table}.{column}', wanted)}",
        f"{head} DROP COLUMN {column}",
        subject=subject,
    )
    if required:
        alter = f"{head} ALTER COLUMN {column}"
        require, allow = f"{alter} SET NOT NULL", f"{alter} DROP NOT NULL"
        yield schema_change(Rank.COLUMN, require, allow, phase="contract", subject=subject)


def _removed(table: str, column: str, text: str) -> Iterable[SchemaChange]:
    """Drop a column; one that must be given is no longer required when the application that leaves it out runs."""
    for added in _added(table, column, text):
        required = added.phase == "contract"
        yield reverse(added, Rank.COLUMN if required else Rank.DROP_COLUMN, "expand" if required else "contract")


def _altered(name: str, before: ColumnDefinition, after: ColumnDefinition) -> Iterable[SchemaChange]:
    table, column = parent(name), last(name)
    head = f"ALTER TABLE {table} ALTER COLUMN {column}"
    subject = f"column {name}"
    if before.generated != after.generated:
        # No ALTER makes a column generated, or generated otherwise: it is another column of the same name.
        old, new = (f"ALTER TABLE {table} ADD COLUMN {column} {one.sql}" for one in (before, after))
        drop = f"ALTER TABLE {table} DROP COLUMN {column}"
        yield schema_change(Rank.COLUMN, (drop, new), (drop, old), phase="contract", subject=subject)
        return
    if before.type != after.type:
        yield schema_change(
            Rank.COLUMN,
            _retyped(head, column, before, after),
            _retyped(head, column, after, before),
            phase="expand" if _is_wider(before.type, after.type) else "contract",
            subject=subject,
        )
    elif before.default != after.default:
        yield schema_change(
            Rank.COLUMN,
            _default(head, after),
            _default(head, before),
            phase="expand" if after.default else "contract",
            subject=subject,
        )
    if before.identity != after.identity:
        to, back = _identity(head, before, after), _identity(head, after, before)
        yield schema_change(Rank.COLUMN, to, back, phase="expand" if after.identity else "contract", subject=subject)
    if before.not_null != after.not_null:
        require, allow = f"{head} SET NOT NULL", f"{head} DROP NOT NULL"
        to, back = (require, allow) if after.not_null else (allow, require)
        yield schema_change(Rank.COLUMN, to, back, phase="contract" if after.not_null else "expand", subject=subject)


def _retyped(head: str, column: str, before: ColumnDefinition, after: ColumnDefinition) -> tuple[str, ...]:
    """Change a type; the default is put aside, since PostgreSQL may know no way to cast it."""
    aside = (f"{head} DROP DEFAULT",) if before.default else ()
    back = (_default(head, after),) if after.default else ()
    base = re.sub(r" COLLATE .*", "", after.type)
    return (*aside, f"{head} TYPE {after.type} USING {column}::{base}", *back)


def _default(head: str, wanted: ColumnDefinition) -> str:
    return f"{head} SET DEFAULT {wanted.default}" if wanted.default else f"{head} DROP DEFAULT"


def _identity(head: str, before: ColumnDefinition, after: ColumnDefinition) -> str:
    if after.identity is None:
        return f"{head} DROP IDENTITY"
    if before.identity is None:
        return f"{head} ADD GENERATED {after.identity} AS IDENTITY"
    return f"{head} SET GENERATED {after.identity}"


def _is_wider(before: str, after: str) -> bool:
    """Whether every value of the one type is one of the other, and reads the same."""
    old, new = (re.fullmatch(r"character varying(?:\((\d+)\))?", one) for one in (before, after))
    if old and after == "text":
        return True
    if old and new:
        return new[1] is None or (old[1] is not None and int(old[1]) <= int(new[1]))
    return (before, after) in _WIDER_TYPES


def _column_sql(name: str, text: str) -> str:
    definition = ColumnDefinition(text)
    if _is_serial(name, definition):
        return _SERIAL[definition.type]
    return definition.sql


def _is_serial(name: str, definition: ColumnDefinition) -> bool:
    if definition.type not in _SERIAL or not definition.not_null or definition.default is None:
        return False
    found = re.fullmatch(r"nextval\('(.*)'::regclass\)", definition.default)
    return found is not None and plain(parts(found[1])[-1]) == _own_sequence(name)


def _own_sequence(column: str) -> str:
    table, name = parts(column)[-2:]
    return f"{plain(table)}_{plain(name)}_seq"
