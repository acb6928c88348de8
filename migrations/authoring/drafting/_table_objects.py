"""What belongs to a table: constraints, indexes, triggers, policies."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from migrations.authoring.drafting._tables import is_inline
from migrations.authoring.drafting.names import last, parent, table_of_index, table_of_reference, unqualified
from migrations.authoring.drafting.schema_changes import (
    Comparison,
    Phase,
    Rank,
    SchemaChange,
    replaced,
    reverse,
    schema_change,
)
from migrations.catalog.contents import Difference

# Gives the change that creates an object, from its name and definition.
Creator = Callable[[str, str], SchemaChange]


def constraint_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Constraints: of a table that stays they are added without a scan under lock, and validated afterwards."""
    for found in compared.of_kind("constraint"):
        table = parent(found.name)
        if compared.comes_with_a_table(table) or compared.goes_with_a_table(table):
            yield from _with_its_table(compared, found, table)
            continue
        dropped = _dropped(found.name, found.before) if found.before is not None else None
        added = list(_added(compared, found.name, found.after)) if found.after is not None else []
        both = list(replaced(dropped, added[0] if added else None))
        yield from both
        yield from (replace(one, phase=both[-1].phase) for one in added[1:])


def index_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Indexes: on a table that stays they are built and dropped without keeping anybody from writing."""
    for found in compared.of_kind("index"):
        # In PostgreSQL's words, whose quotes are those of the tables' names.
        side = compared.after if found.after is not None else compared.before
        table = table_of_index(side.by_name["index", found.name].definition)
        with_table = compared.comes_with_a_table(table) or compared.goes_with_a_table(table)
        dropped = created = None
        if found.before is not None:
            there = _index(found.name, found.before, with_table=with_table)
            phase: Phase = "contract" if found.after is None else there.phase
            dropped = _dropped_with_table(there) if with_table else reverse(there, Rank.DROP_INDEX, phase)
        if found.after is not None:
            created = _index(found.name, found.after, with_table=with_table)
            created = _created_with_table(created) if with_table else created
        yield from replaced(dropped, created)


def trigger_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Triggers, which are dropped and made again where they change."""
    return _attached(compared, "trigger", Rank.TRIGGER, Rank.DROP_TRIGGER, _trigger)


def policy_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Policies, which are dropped and made again where they change."""
    return _attached(compared, "policy", Rank.POLICY, Rank.DROP_POLICY, _policy)


def _attached(compared: Comparison, kind: str, rank: Rank, drop_rank: Rank, create: Creator) -> Iterable[SchemaChange]:
    for found in compared.of_kind(kind):
        table = parent(found.name)
        with_table = compared.comes_with_a_table(table) or compared.goes_with_a_table(table)
        dropped = created = None
        if found.before is not None:
            there = create(found.name, found.before)
            phase: Phase = "contract" if found.after is None else "expand"
            dropped = _dropped_with_table(there) if with_table else reverse(there, drop_rank, phase)
        if found.after is not None:
            created = create(found.name, found.after)
            restricts = kind == "policy" and compared.after.by_name[kind, found.name].definition.startswith("restrict")
            created = replace(created, rank=rank, phase="contract" if restricts and not with_table else "expand")
            created = _created_with_table(created) if with_table else created
        yield from replaced(dropped, created)


def _created_with_table(created: SchemaChange) -> SchemaChange:
    """The change where the table is created, too: the downgrade drops the object with the table."""
    return replace(created, down=(), alone="")


def _dropped_with_table(created: SchemaChange) -> SchemaChange:
    """The change where the table is dropped, too: only the downgrade has to create the object again."""
    return replace(created, rank=Rank.DROP_INDEX, up=(), down=created.up, phase="contract", alone="")


def _with_its_table(compared: Comparison, found: Difference, table: str) -> Iterable[SchemaChange]:
    definition = found.after or found.before or ""
    if is_inline(definition):
        return
    created = _constraint(found.name, definition)
    other = table_of_reference(definition)
    # Where both tables go, neither could be dropped while the other one points to it.
    explicit = other != table and (compared.comes_with_a_table(other) or compared.goes_with_a_table(other))
    if found.change == "added":
        yield replace(created, rank=Rank.FOREIGN_KEY, down=created.down if explicit else ())
    else:
        up = created.down if explicit else ()
        yield replace(created, rank=Rank.DROP_FOREIGN_KEY, up=up, down=created.up, phase="contract")


def _constraint(name: str, definition: str) -> SchemaChange:
    table, own = parent(name), last(name)
    return schema_change(
        Rank.FOREIGN_KEY if table_of_reference(definition) else Rank.CONSTRAINT,
        f"ALTER TABLE {table} ADD CONSTRAINT {own} {unqualified(definition)}",
        f"ALTER TABLE {table} DROP CONSTRAINT {own}",
        subject=f"constraint {name}",
    )


def _dropped(name: str, definition: str) -> SchemaChange:
    rank = Rank.DROP_FOREIGN_KEY if table_of_reference(definition) else Rank.DROP_CONSTRAINT
    # Without a CHECK or a foreign key the application may do more; ON CONFLICT needs what is unique.
    phase: Phase = "expand" if definition.startswith(("CHECK", "FOREIGN KEY")) else "contract"
    return reverse(_constraint(name, definition), rank, phase)


def _added(compared: Comparison, name: str, definition: str) -> Iterable[SchemaChange]:
    # What the application writes already may be refused from now on, but for columns that it does not know yet.
    fresh = [one for one in compared.added_columns if parent(one) == parent(name) and last(one) in definition]
    phase: Phase = "expand" if fresh else "contract"
    created = _constraint(name, definition)
    if not definition.startswith(("CHECK", "FOREIGN KEY")) or definition.endswith(" NOT VALID"):
        yield replace(created, phase=phase)
        return
    not_valid = f"{created.up[0]} NOT VALID"
    yield replace(created, up=(not_valid,), phase=phase)
    validated = f"ALTER TABLE {parent(name)} VALIDATE CONSTRAINT {last(name)}"
    yield schema_change(
        Rank.VALIDATE,
        validated,
        (*created.down, not_valid),
        phase=phase,
        alone="validate",
        subject=created.subject,
    )


def _index(name: str, definition: str, *, with_table: bool) -> SchemaChange:
    sql = unqualified(definition).removesuffix(" INVALID").removesuffix(" replica identity")
    unique = sql.startswith("CREATE UNIQUE INDEX ")
    if with_table:
        return schema_change(Rank.INDEX, sql, f"DROP INDEX {name}", subject=f"index {name}")
    head = "CREATE UNIQUE INDEX " if unique else "CREATE INDEX "
    return schema_change(
        Rank.INDEX,
        f"{head}CONCURRENTLY {sql.removeprefix(head)}",
        f"DROP INDEX CONCURRENTLY {name}",
        phase="contract" if unique else "expand",
        alone="concurrently",
        subject=f"index {name}",
    )


def _trigger(name: str, definition: str) -> SchemaChange:
    table, own = parent(name), last(name)
    sql, _, state = definition.partition(" enabled ")
    words = {"D": "DISABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}
    setting = (f"ALTER TABLE {table} {words[state]} {own}",) if state in words else ()
    return schema_change(
        Rank.TRIGGER,
        (unqualified(sql), *setting),
        f"DROP TRIGGER {own} ON {table}",
        subject=f"trigger {name}",
    )


def _policy(name: str, definition: str) -> SchemaChange:
    table, own = parent(name), last(name)
    drop = f"DROP POLICY {own} ON {table}"
    if definition.startswith("CREATE "):
        return schema_change(Rank.POLICY, definition, drop, subject=f"policy {name}")
    kind, _, rest = definition.partition(" ")
    command, _, rest = rest.partition(" to ")
    roles, using, check = _policy_parts(rest)
    words = [f"CREATE POLICY {own} ON {table}"]
    words += ["AS RESTRICTIVE"] if kind == "restrictive" else []
    words += [f"FOR {command}"] if command != "ALL" else []
    words += [f"TO {roles}"] if roles != "public" else []
    words += [f"USING ({unqualified(using)})"] if using else []
    words += [f"WITH CHECK ({unqualified(check)})"] if check else []
    return schema_change(Rank.POLICY, " ".join(words), drop, subject=f"policy {name}")


def _policy_parts(rest: str) -> tuple[str, str, str]:
    """Roles, USING and WITH CHECK of a policy as the catalogue writes them."""
    head, _, check = rest.partition(" with check ")
    roles, _, using = head.partition(" using ")
    return roles, using, check
