"""What the running application still uses, taken away."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.alterations import commands
from migrations.lint.effects import dropped
from migrations.lint.hazard import Hazard, Subject
from migrations.lint.names import Name
from migrations.lint.statements import Statement
from migrations.lint.usage import is_used
from migrations.lint.world import World

_EXPECTED = "contract"


def _column(statement: Statement, world: World) -> Iterator[Subject]:
    for table, command in commands(statement.node):
        if command.subtype == pb.AT_DropColumn and _still_used(statement, world, table, command.name):
            yield Subject(table, command.name)


def _table(statement: Statement, world: World) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.DropStmt) and node.remove_type in {pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE}:
        for table in dropped(node):
            if _still_used(statement, world, table):
                yield Subject(table)


def _still_used(statement: Statement, world: World, table: Name, column: str = "") -> bool:
    """A contract revision drops what nothing uses any more; where statements are known, they are asked."""
    return statement.origin.phase != _EXPECTED or is_used(world.context, table, column) is True


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
