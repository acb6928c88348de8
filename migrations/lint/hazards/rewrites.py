"""Changes that write a whole table anew while nobody can read it."""

from collections.abc import Iterator

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.lint.column_types import rewrites
from migrations.lint.hazard import Hazard, Subject
from migrations.lint.non_volatile_functions import NON_VOLATILE
from migrations.sql.alterations import added_columns, column_constraint, commands, default_of, is_serial, type_of
from migrations.sql.database_context import Column
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name, SqlType, strings
from migrations.sql.statements import Statement

_STORAGE = {
    int(pb.AT_SetTableSpace): "SET TABLESPACE",
    int(pb.AT_SetLogged): "SET LOGGED",
    int(pb.AT_SetUnLogged): "SET UNLOGGED",
    int(pb.AT_SetAccessMethod): "SET ACCESS METHOD",
}


def _type(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a type change that rewrites.

    Source: ATColumnChangeRequiresRewrite: nothing is written where the old value is the new one as it stands.
    """
    for table, command in commands(statement.node):
        given = command.def_
        if command.subtype == pb.AT_AlterColumnType and isinstance(given, nodes.ColumnDef):
            known = state.table(table).columns.get(command.name)
            old, new = old_type(known, statement), type_of(given)
            if _converts(given.raw_default, command.name) or rewrites(old, new):
                change = f"from {old} to {new}" if old else f"to {new}"
                yield Subject(table, command.name, detail=change)


def old_type(known: Column | None, statement: Statement) -> SqlType | None:
    """The type of a column that changes: the one that is known, or else the one that the revision says it has."""
    said = statement.origin.existing_type
    return known.type if known is not None and known.type is not None else SqlType.named(said) if said else None


def _converts(using: AstNode | None, column: str) -> bool:
    """Whether USING does more than to cast the column."""
    while isinstance(using, nodes.TypeCast):
        using = using.arg
    return not (using is None or (isinstance(using, nodes.ColumnRef) and strings(using.fields)[-1:] == (column,)))


def _volatile(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a new column whose rows each get a value of their own.

    Source: ADD COLUMN keeps a default once in the catalogue where it is not volatile, and writes every row otherwise;
        a domain with constraints is written too.
    """
    for table, column in added_columns(statement.node):
        default = default_of(column)
        if default is not None and not is_serial(column):
            type_ = type_of(column)
            varying = next(_varying(default, state), "")
            if not varying and type_ is not None and state.domains.get(Name(type_.name)):
                varying = f"the domain {type_.name}"
            if varying:
                yield Subject(table, column.colname, detail=varying)


def _varying(default: AstNode, state: DatabaseState) -> Iterator[str]:
    for _, one in postgast.walk_typed(default):
        if isinstance(one, nodes.FuncCall):
            name = strings(one.funcname)[-1]
            if name not in NON_VOLATILE and name not in state.context.non_volatile_functions:
                yield f"{name}()"


def _numbered(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a new column that a sequence numbers. Source: nextval() is volatile, for identity columns too."""
    for table, column in added_columns(statement.node):
        if is_serial(column):
            yield Subject(table, column.colname)


def _generated(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a stored generated column. Source: its value is computed for every row; VIRTUAL (PostgreSQL 18) is not."""
    for table, column in added_columns(statement.node):
        made = column_constraint(column, pb.CONSTR_GENERATED)
        if made is not None and made.generated_kind == "s":
            yield Subject(table, column.colname)
    for table, command in commands(statement.node):
        if command.subtype == pb.AT_SetExpression:
            yield Subject(table, command.name)


def _storage(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a table that is moved. Source: each of these copies the table under AccessExclusiveLock."""
    node = statement.node
    for table, command in commands(node):
        if command.subtype in _STORAGE:
            yield Subject(table, detail=_STORAGE[command.subtype])
    if isinstance(node, nodes.AlterTableMoveAllStmt):
        yield Subject(name=node.orig_tablespacename, detail="SET TABLESPACE")
    if isinstance(node, nodes.AlterTableStmt) and node.objtype == pb.OBJECT_INDEX:
        moves = (one for one in node.cmds if isinstance(one, nodes.AlterTableCmd))
        if any(one.subtype == pb.AT_SetTableSpace for one in moves):
            yield Subject(name=str(Name.of_range(node.relation)), detail="SET TABLESPACE")


_BY_STEPS = "Add a new column, keep both in step by a trigger, backfill in batches, and drop the old one in a contract."

TYPE = Hazard(
    id="type-change-rewrites",
    condition="A column's type is changed so that every row is written anew.",
    effect="Changing `{table}.{column}` {detail} writes every row and every index anew under an AccessExclusiveLock: "
    "reads and writes wait until it has ended.",
    safe=_BY_STEPS,
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ALTER COLUMN id TYPE bigint;\n",
    good="""-- 1.sql
CREATE TABLE orders (id bigint PRIMARY KEY, status varchar(20));
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders ALTER COLUMN status TYPE varchar(40);
""",
    rule=_type,
    squawk=("changing-column-type", "prefer-text-field"),
)

VOLATILE = Hazard(
    id="volatile-default",
    condition="A column is added whose default differs from row to row.",
    effect="`{table}.{column}` gets its value from {detail}, row by row: every row is written anew under an "
    "AccessExclusiveLock, and reads and writes wait.",
    safe="Add the column without a default, SET DEFAULT for rows to come, and backfill the others in batches.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid();\n",
    good="""SET lock_timeout = '2s';
ALTER TABLE orders ADD COLUMN token uuid;
ALTER TABLE orders ALTER COLUMN token SET DEFAULT gen_random_uuid();
""",
    rule=_volatile,
    squawk=("adding-field-with-default",),
)

NUMBERED = Hazard(
    id="numbered-column-added",
    condition="A serial or identity column is added to a table that is in use.",
    effect="`{table}.{column}` is numbered row by row: every row is written anew under an AccessExclusiveLock, and "
    "reads "
    "and writes wait.",
    safe="Add a bigint column without a default, SET DEFAULT nextval(...) for rows to come, and backfill in batches.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN number bigserial;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN number bigint;\n",
    rule=_numbered,
    squawk=("adding-field-with-default",),
)

GENERATED = Hazard(
    id="generated-column-stored",
    condition="A stored generated column is added to a table that is in use, or its expression changed.",
    effect="`{table}.{column}` is computed for every row under an AccessExclusiveLock: reads and writes wait.",
    safe="Make it VIRTUAL (PostgreSQL 18), or an ordinary column that a trigger fills and a backfill completes.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN gross int GENERATED ALWAYS AS (net * 2) STORED;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN gross int GENERATED ALWAYS AS (net * 2) VIRTUAL;\n",
    rule=_generated,
    squawk=("adding-field-with-default",),
)

STORAGE = Hazard(
    id="storage-moved",
    condition="A table or index is moved to another tablespace, another access method, or between LOGGED and UNLOGGED.",
    effect="{detail} copies all of `{table}` under an AccessExclusiveLock: reads and writes wait until it is copied.",
    safe="Make a new table where it shall lie, fill it in batches, and move to it by expand and contract.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders SET UNLOGGED;\n",
    good="SET lock_timeout = '2s';\nCREATE UNLOGGED TABLE orders_cache (id bigint PRIMARY KEY);\n",
    rule=_storage,
)
