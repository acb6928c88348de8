"""Enum types, whose labels cannot be taken back."""

from collections.abc import Iterator

import postgast
from postgast import nodes

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name, constant
from migrations.sql.statements import Statement


def _early(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a label used before its transaction has ended.

    Source: ALTER TYPE ... ADD VALUE: "unsafe use of new value" until it is committed, unless the type is new too.
    """
    added = state.transaction.enum_values
    if not added or isinstance(statement.node, nodes.AlterEnumStmt):
        return
    texts = {constant(one) for _, one in postgast.walk_typed(statement.node) if isinstance(one, nodes.A_Const)}
    for name, label in sorted(added):
        if label in texts:
            yield Subject(name=label, detail=str(name))


def _renamed(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.AlterEnumStmt) and node.old_val:
        yield Subject(name=node.old_val, detail=str(Name.of_parts(node.type_name)))


def _catalog(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.UpdateStmt | nodes.DeleteStmt | nodes.InsertStmt) and node.relation is not None:
        relation = node.relation
        if relation.schemaname == "pg_catalog" or (not relation.schemaname and relation.relname.startswith("pg_")):
            yield Subject(name=relation.relname)


EARLY = Hazard(
    id="enum-value-used-early",
    condition="A label that ALTER TYPE ... ADD VALUE added is used in the same transaction.",
    effect="PostgreSQL refuses it: `{name}` of `{detail}` cannot be used before the transaction that added it has "
    "ended.",
    safe="Add the label in a revision of its own, and use it in a later one.",
    bad="""ALTER TYPE mood ADD VALUE 'calm';
UPDATE people SET mood = 'calm' WHERE id = 7;
""",
    good="""-- 1.sql
ALTER TYPE mood ADD VALUE 'calm';
-- 2.sql
UPDATE people SET mood = 'calm' WHERE id = 7;
""",
    concern="any",
    rule=_early,
)

RENAMED = Hazard(
    id="enum-value-renamed",
    condition="A label of an enum type is renamed.",
    effect="Every statement of the running application that writes or compares with `{name}` of `{detail}` fails from "
    "this "
    "moment on.",
    safe="Add a new label, release an application that knows both, move the rows in batches, and leave the old one.",
    bad="ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet';\n",
    good="ALTER TYPE mood ADD VALUE 'quiet';\n",
    concern="any",
    rule=_renamed,
    squawk=("renaming-object",),
)

CATALOG = Hazard(
    id="catalog-written",
    condition="A system catalogue is written directly.",
    effect="Writing to `{name}` goes past every check and lock of PostgreSQL, such as whether a row still holds the "
    "label "
    "that goes: the database can be damaged beyond repair, and Neon refuses it.",
    safe="Use the statement that PostgreSQL has for it; where it has none, make a new type and move to it.",
    bad="DELETE FROM pg_enum WHERE enumlabel = 'calm' AND oid IN (16501);\n",
    good="CREATE TYPE feeling AS ENUM ('glad', 'sad');\n",
    concern="any",
    rule=_catalog,
)
