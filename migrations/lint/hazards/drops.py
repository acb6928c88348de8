"""What the running application still uses, taken away."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint._usage import is_used
from migrations.lint.hazard import Hazard, Subject
from migrations.lint.hazards.index_builds import table_of
from migrations.sql.alterations import added_constraints, commands
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import dropped
from migrations.sql.names import Name
from migrations.sql.statements import Statement

_EXPECTED = "contract"


def _column(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    for table, command in commands(statement.node):
        if command.subtype == pb.AT_DropColumn and _still_used(statement, state, table, command.name):
            yield Subject(table, command.name)
    node = statement.node
    if isinstance(node, nodes.AlterTableStmt) and node.objtype == pb.OBJECT_TYPE and not _is_contract(statement):
        for one in node.cmds:
            if isinstance(one, nodes.AlterTableCmd) and one.subtype == pb.AT_DropColumn:
                yield Subject(Name.of_range(node.relation), one.name)


def _unique(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a uniqueness that goes, and that the same transaction does not bring back."""
    if _is_contract(statement):
        return
    for table, name in _dropped_names(statement, state):
        known = state.table(table)
        constraint = next((one for one in known.constraints if one.name == name), None)
        index = known.indexes.get(name)
        columns = constraint.columns if constraint is not None else index.columns if index is not None else ()
        kept = (one.columns for one in known.indexes.values() if one.unique and one.valid and one.name != name)
        guards = (constraint is not None and constraint.kind in {"unique", "primary key"}) or (
            constraint is None and index is not None and index.unique and index.valid
        )
        if guards and columns and columns not in kept and not _comes_back(table, statement, state):
            yield Subject(table, ", ".join(columns), name)


def _dropped_names(statement: Statement, state: DatabaseState) -> Iterator[tuple[Name, str]]:
    node = statement.node
    for table, command in commands(node):
        if command.subtype == pb.AT_DropConstraint:
            yield table, command.name
    if isinstance(node, nodes.DropStmt) and node.remove_type == pb.OBJECT_INDEX:
        for index in dropped(node):
            table = table_of(index, state)
            if table is not None:
                yield table, index.name


def _comes_back(table: Name, statement: Statement, state: DatabaseState) -> bool:
    return any(
        added.table == table and added.kind in {"unique", "primary key"}
        for one in state.step_statements
        if one.transaction == statement.transaction
        for added in added_constraints(one.node)
    )


def _owned(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.DropOwnedStmt):
        roles = [one.rolename for one in node.roles if isinstance(one, nodes.RoleSpec)]
        yield Subject(name=", ".join(roles))


def _is_contract(statement: Statement) -> bool:
    return statement.origin.phase == _EXPECTED


def _table(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.DropStmt) and node.remove_type in {pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE}:
        for table in dropped(node):
            if _still_used(statement, state, table):
                yield Subject(table)


def _still_used(statement: Statement, state: DatabaseState, table: Name, column: str = "") -> bool:
    """A contract revision drops what nothing uses any more; where statements are known, they are asked."""
    return not _is_contract(statement) or is_used(state.context, table, column) is True


COLUMN = Hazard(
    id="column-dropped",
    condition="A column is dropped that the running application may use: the revision does not say that it contracts, "
    "or a statement of the application still names it.",
    effect="Every statement of the running application that names `{table}.{column}` fails from this moment on, and "
    "its data are gone.",
    safe='Release an application that does not use it first; then drop it in a revision with phase = "contract", which '
    "runs after that application has proven itself.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders DROP COLUMN note;\n",
    good="""-- phase: contract
SET lock_timeout = '2s';
ALTER TABLE orders DROP COLUMN note;
""",
    concern="live",
    rule=_column,
    squawk=("ban-drop-column",),
)

TABLE = Hazard(
    id="table-dropped",
    condition="A table is dropped that the running application may use: the revision does not say that it contracts, "
    "or a statement of the application still names it.",
    effect="Every statement of the running application that names `{table}` fails from this moment on, and its rows "
    "are gone.",
    safe='Release an application that does not use it first; then drop it in a revision with phase = "contract".',
    bad="SET lock_timeout = '2s';\nDROP TABLE orders_archive;\n",
    good="""-- phase: contract
SET lock_timeout = '2s';
DROP TABLE orders_archive;
""",
    concern="live",
    rule=_table,
    squawk=("ban-drop-table",),
)

UNIQUE = Hazard(
    id="uniqueness-dropped",
    condition="A unique constraint or index goes before the contract, and none comes in its place.",
    effect="INSERT ... ON CONFLICT ({column}) of the running application fails from this moment on, and rows of "
    "`{table}` "
    "that should be one can become two; putting `{name}` back fails on them.",
    safe='Release an application that does not rely on it first; then drop it in a revision with phase = "contract".',
    bad="""-- 1.sql
CREATE TABLE orders (id bigint PRIMARY KEY, number text, CONSTRAINT orders_number_key UNIQUE (number));
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders DROP CONSTRAINT orders_number_key;
""",
    good="""-- 1.sql
CREATE TABLE orders (id bigint PRIMARY KEY, number text, CONSTRAINT orders_number_key UNIQUE (number));
-- 2.sql
-- phase: contract
SET lock_timeout = '2s';
ALTER TABLE orders DROP CONSTRAINT orders_number_key;
""",
    concern="live",
    rule=_unique,
    squawk=("ban-drop-constraint", "ban-drop-index"),
)

OWNED = Hazard(
    id="owned-dropped",
    condition="DROP OWNED.",
    effect="All that {name} owns in the database is dropped, and all rights of it are taken away, whatever uses them.",
    safe="Drop what is meant by name, in a contract revision; give the rest away with REASSIGN OWNED.",
    bad="DROP OWNED BY reporting;\n",
    good="REASSIGN OWNED BY reporting TO owner;\n",
    concern="any",
    rule=_owned,
)
