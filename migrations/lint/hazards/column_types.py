"""Types that lose values, run out, or mean something else than was meant."""

from collections.abc import Iterator

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.column_types import narrows
from migrations.lint.hazard import Hazard, Subject
from migrations.lint.hazards.rewrites import old_type
from migrations.sql.alterations import (
    SERIALS,
    added_constraints,
    column_constraint,
    commands,
    created_constraints,
    default_of,
    every_new_column,
    is_serial,
    type_of,
)
from migrations.sql.database_context import DatabaseContext, SequencePosition
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import is_temporary, made_column
from migrations.sql.locking import locks
from migrations.sql.names import Name, SqlType, strings
from migrations.sql.statements import Statement

_SMALL_KEYS = frozenset({"int2", "int4"})


def _narrowed(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    for table, command in commands(statement.node):
        given = command.def_
        if command.subtype == pb.AT_AlterColumnType and isinstance(given, nodes.ColumnDef):
            old = old_type(state.table(table).columns.get(command.name), statement)
            if narrows(old, type_of(given)):
                yield Subject(table, command.name, detail=f"{old} to {type_of(given)}")


def _new_types(statement: Statement) -> Iterator[tuple[Name, str, SqlType | None]]:
    for table, column in every_new_column(statement.node):
        yield table, column.colname, type_of(column)
    for table, command in commands(statement.node):
        if command.subtype == pb.AT_AlterColumnType and isinstance(command.def_, nodes.ColumnDef):
            yield table, command.name, type_of(command.def_)

    if isinstance(statement.node, nodes.CreateTableAsStmt):
        yield from _selected(statement.node)


def _selected(node: nodes.CreateTableAsStmt) -> Iterator[tuple[Name, str, SqlType | None]]:
    """The columns of CREATE TABLE AS whose type is written down."""
    query, into = node.query, node.into
    if node.objtype == pb.OBJECT_TABLE and into is not None and not is_temporary(into.rel):
        for one in query.target_list if isinstance(query, nodes.SelectStmt) else ():
            if isinstance(one, nodes.ResTarget) and isinstance(one.val, nodes.TypeCast):
                yield Name.of_range(into.rel), one.name or "?", SqlType.of(one.val.type_name)


def _json(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    yield from _of_type(statement, "json")


def _timestamp(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    yield from _of_type(statement, "timestamp")


def _of_type(statement: Statement, name: str) -> Iterator[Subject]:
    """The columns of a type, all those of a statement at once."""
    found: dict[Name, list[str]] = {}
    for table, column, type_ in _new_types(statement):
        if type_ is not None and type_.name == name:
            found.setdefault(table, []).append(column)
    for table, columns in found.items():
        yield Subject(table, ", ".join(columns))


def _integer_key(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    keys: dict[tuple[Name, str], str] = {}
    for table, column in every_new_column(statement.node):
        type_ = type_of(column)
        name = "" if type_ is None else SERIALS.get(type_.name, type_.name)
        if is_serial(column) or _counts(column) or column_constraint(column, pb.CONSTR_PRIMARY) is not None:
            keys[table, column.colname] = name
    written = {column.colname: made_column(column) for _, column in every_new_column(statement.node)}
    for one in (*added_constraints(statement.node), *created_constraints(statement.node)):
        if one.kind == "primary key" and one.with_column is None and len(one.columns) == 1:
            known = {**state.table(one.table).columns, **written}.get(one.columns[0])
            keys[one.table, one.columns[0]] = known.type.name if known is not None and known.type else ""
    for (table, column), name in keys.items():
        if name in _SMALL_KEYS:
            yield Subject(table, column, detail="32,767" if name == "int2" else "2,147,483,647")


def _counts(column: nodes.ColumnDef) -> bool:
    """Whether a column's default is the next value of a sequence, as the long form of serial writes it."""
    default = default_of(column)
    walked = () if default is None else postgast.walk_typed(default)
    return any(isinstance(one, nodes.FuncCall) and strings(one.funcname)[-1:] == ("nextval",) for _, one in walked)


def _runs_out(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a key that comes near to its type's end, on any table that the plan touches."""
    touched = {one.table for one in locks(statement.node)}
    for one in state.context.sequences:
        if one.table in touched and one.last >= one.largest * state.context.thresholds.key_used:
            used = f"{one.last:,} of {one.largest:,}"
            yield Subject(one.table, one.column, detail=used)


NARROWED = Hazard(
    id="type-narrowed",
    condition="A column's type is changed to one that cannot hold every value of the old one.",
    effect="`{table}.{column}` goes from {detail}: values that do not fit make the statement fail or lose what they "
    "said, "
    "and the running application's writes fail from then on.",
    safe="Keep the type, or look for values that do not fit, add a CHECK NOT VALID, validate it, and narrow by expand "
    "and "
    "contract.",
    bad="""-- 1.sql
CREATE TABLE orders (id bigint PRIMARY KEY, note text);
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders ALTER COLUMN note TYPE varchar(100);
""",
    good="""-- 1.sql
CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(100));
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders ALTER COLUMN note TYPE text;
""",
    concern="live",
    rule=_narrowed,
    squawk=("changing-column-type",),
)

JSON = Hazard(
    id="json-column",
    condition="A column of type json.",
    effect="`{table}.{column}` is json: it is parsed at each use, has no equality, so that SELECT DISTINCT and GROUP "
    "BY "
    "fail on it, and cannot be indexed.",
    safe="Use jsonb.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN extra json;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN extra jsonb;\n",
    concern="any",
    rule=_json,
)

TIMESTAMP = Hazard(
    id="timestamp-without-zone",
    condition="A column of type timestamp without time zone.",
    effect="`{table}.{column}` keeps a time without saying where: sessions in different time zones read and write "
    "different moments.",
    safe="Use timestamptz.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN paid_at timestamp;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN paid_at timestamptz;\n",
    concern="any",
    rule=_timestamp,
    squawk=("prefer-timestamp-tz",),
)

INTEGER_KEY = Hazard(
    id="integer-key",
    condition="A key of type integer or smallint.",
    effect="`{table}.{column}` ends at {detail}: then every INSERT fails, and widening it rewrites the table.",
    safe="Use bigint (GENERATED ALWAYS AS IDENTITY) or uuid, and the same type where it is referenced.",
    bad="CREATE TABLE orders (id serial PRIMARY KEY);\n",
    good="CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);\n",
    concern="any",
    rule=_integer_key,
    squawk=("prefer-bigint-over-int", "prefer-bigint-over-smallint"),
)

RUNS_OUT = Hazard(
    id="key-runs-out",
    condition="The database says that an integer key of a table which the plan touches has used most of its range.",
    effect="`{table}.{column}` has used {detail}: when it ends, every INSERT fails.",
    safe="Move to bigint now, by expand, backfill and contract, while there is time.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN note text;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE customers ADD COLUMN note text;\n",
    concern="any",
    rule=_runs_out,
    known=DatabaseContext(sequences=(SequencePosition(Name("orders"), "id", "int4", 1_900_000_000, 2_147_483_647),)),
)
