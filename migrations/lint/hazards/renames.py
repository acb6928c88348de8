"""What the running application still calls by its old name."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name
from migrations.sql.statements import Statement

_RELATIONS = frozenset(
    int(one) for one in (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_FOREIGN_TABLE)
)
# Nothing that an application sends names these.
_UNNAMED = frozenset(
    int(one)
    for one in (
        pb.OBJECT_INDEX,
        pb.OBJECT_TABCONSTRAINT,
        pb.OBJECT_DOMCONSTRAINT,
        pb.OBJECT_TRIGGER,
        pb.OBJECT_POLICY,
        pb.OBJECT_RULE,
        pb.OBJECT_COLUMN,
        pb.OBJECT_ATTRIBUTE,
        *_RELATIONS,
    )
)


def _table(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.RenameStmt) and node.rename_type in _RELATIONS and node.relation is not None:
        name = Name.of_range(node.relation)
        if not _stands_in(name, statement, state):
            yield Subject(name, name=node.newname)


def _stands_in(name: Name, statement: Statement, state: DatabaseState) -> bool:
    """Whether a view or another table takes the old name in the same transaction."""
    for one in state.step_statements:
        node = one.node
        if statement.transaction is None or one.transaction != statement.transaction:
            continue
        if isinstance(node, nodes.ViewStmt) and Name.of_range(node.view) == name:
            return True
        if (
            isinstance(node, nodes.RenameStmt)
            and node.rename_type in _RELATIONS
            and Name(node.newname, Name.of_range(node.relation).schema) == name
        ):
            return True
    return False


def _column(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    renamed = {int(pb.OBJECT_COLUMN), int(pb.OBJECT_ATTRIBUTE)}
    if isinstance(node, nodes.RenameStmt) and node.rename_type in renamed:
        yield Subject(Name.of_range(node.relation), node.subname, node.newname)


def _schema(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.AlterObjectSchemaStmt):
        table = Name.of_range(node.relation) if node.relation is not None else None
        yield Subject(table, name=node.newschema, detail=_object_name(node.object, node.relation))


def _other(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.RenameStmt) and node.rename_type not in _UNNAMED:
        yield Subject(name=_object_name(node.object, node.relation) or node.subname, detail=node.newname)


def _object_name(given: AstNode | None, relation: nodes.RangeVar | None) -> str:
    match given:
        case nodes.List(items=parts) | nodes.ObjectWithArgs(objname=parts):
            return str(Name.of_parts(parts))
        case _:
            return str(Name.of_range(relation)) if relation is not None else ""


TABLE = Hazard(
    id="table-renamed",
    condition="A table or view that is in use is renamed, and nothing takes its name in the same transaction.",
    effect="Every statement of the running application that names `{table}` fails from this moment on.",
    safe="In the same transaction, create a view with the old name over the renamed table, and drop it in a contract "
    "revision; or leave the name.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders RENAME TO purchases;\n",
    good="""SET lock_timeout = '2s';
ALTER TABLE orders RENAME TO purchases;
CREATE VIEW orders AS SELECT * FROM purchases;
""",
    concern="live",
    rule=_table,
    squawk=("renaming-table",),
)

COLUMN = Hazard(
    id="column-renamed",
    condition="A column that is in use is renamed.",
    effect="Every statement of the running application that names `{table}.{column}` fails from this moment on; one "
    "that "
    "names `{name}` fails until then. No order of release avoids both.",
    safe="Add the new column, keep both in step by a trigger, backfill in batches, release an application that uses "
    "the "
    "new one, and drop the old one in a contract revision; or leave the name.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders RENAME COLUMN total TO amount;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN amount numeric;\n",
    concern="live",
    rule=_column,
    squawk=("renaming-column",),
)

SCHEMA = Hazard(
    id="schema-changed",
    condition="An object that is in use is moved to another schema.",
    effect="The running application does not find `{detail}` any more: it is in the schema `{name}` from this moment "
    "on.",
    safe="Leave it where it is, or put a view in its old place in the same revision and waive this with that reason.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders SET SCHEMA archive;\n",
    good="SET lock_timeout = '2s';\nCREATE VIEW archive.orders AS SELECT * FROM public.orders;\n",
    concern="live",
    rule=_schema,
    squawk=("ban-set-schema",),
)

OTHER = Hazard(
    id="object-renamed",
    condition="A type, function, sequence, schema or role is renamed.",
    effect="Whatever calls `{name}` by that name fails from this moment on, functions of the database among it.",
    safe="Make a second one with the new name, move to it, and drop the old one in a contract revision.",
    bad="SET lock_timeout = '2s';\nALTER TYPE mood RENAME TO feeling;\n",
    good="CREATE TYPE feeling AS ENUM ('glad', 'sad');\n",
    concern="any",
    rule=_other,
    squawk=("renaming-object",),
)
