"""What squawk sees by itself, and where nothing has to be known beside it."""

import postgast
from postgast import nodes

from migrations.lint.hazard import Hazard
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import dropped
from migrations.sql.names import Name, strings
from migrations.sql.statements import Statement


def _is_replaced(statement: Statement, state: DatabaseState) -> bool:
    """Whether the drop is a contract, or the same transaction makes the object again."""
    node = statement.node
    if statement.origin.phase == "contract" or not isinstance(node, nodes.DropStmt):
        return statement.origin.phase == "contract"
    made = {_made(one) for one in state.step_statements if one.transaction == statement.transaction}
    return statement.transaction is not None and all(name in made for name in dropped(node))


def _made(statement: Statement) -> Name | None:
    match statement.node:
        case nodes.ViewStmt(view=view):
            return Name.of_range(view)
        case nodes.CreateFunctionStmt(funcname=parts):
            return Name.of_parts(parts)
        case nodes.CreateEnumStmt(type_name=parts):
            return Name.of_parts(parts)
        case _:
            return None


def _pads_none(statement: Statement, _state: DatabaseState) -> bool:
    """Squawk takes "char", a type of one byte, for char(1). Source: the grammar makes char(n) of pg_catalog.bpchar."""
    walked = (one for _, one in postgast.walk_typed(statement.node) if isinstance(one, nodes.TypeName))
    return not any(strings(one.names)[-1:] == ("bpchar",) for one in walked)


def _is_no_setting(statement: Statement, _state: DatabaseState) -> bool:
    """Squawk's rule is about passwords and powers of roles too."""
    return isinstance(statement.node, nodes.AlterRoleStmt)


OBJECT = Hazard(
    id="object-dropped",
    condition="A view, function, type, schema, sequence, domain or extension is dropped before the contract, and not "
    "made again in the same transaction.",
    effect="Every statement of the running application that uses `{name}` fails from this moment on.",
    safe='Release an application that does not use it first; then drop it in a revision with phase = "contract".',
    bad="DROP FUNCTION tidy();\n",
    good="-- phase: contract\nDROP FUNCTION tidy();\n",
    concern="any",
    squawk=(
        "ban-drop-view",
        "ban-drop-function",
        "ban-drop-type",
        "ban-drop-schema",
        "ban-drop-sequence",
        "ban-drop-domain",
        "ban-drop-extension",
    ),
    unless=_is_replaced,
)

DATABASE = Hazard(
    id="database-dropped",
    condition="DROP DATABASE.",
    effect="A database and all that is in it is gone at once, and no transaction holds it back.",
    safe="Leave it to a person, outside of revisions.",
    bad="DROP DATABASE shop;\n",
    good="COMMENT ON DATABASE shop IS 'retired';\n",
    concern="any",
    squawk=("ban-drop-database",),
)

CHAR = Hazard(
    id="char-column",
    condition="A column of type char(n).",
    effect="char(n) fills every value of `{table}` up with blanks, and compares as if they were not there.",
    safe="Use text, with a CHECK of the length where it matters.",
    bad="CREATE TABLE prices (id bigint PRIMARY KEY, currency char(3));\n",
    good="CREATE TABLE prices (id bigint PRIMARY KEY, currency text CHECK (length(currency) = 3));\n",
    concern="any",
    squawk=("ban-char-field",),
    unless=_pads_none,
)

LONG_NAME = Hazard(
    id="name-too-long",
    condition="A name is longer than 63 bytes.",
    effect="PostgreSQL cuts the name off without an error: two names can become one, and what looks for it does not "
    "find "
    "it.",
    safe="Choose a name of 63 bytes or less.",
    bad=f"CREATE TABLE notes (id bigint, {'a_long_' * 10}name text);\n",
    good="CREATE TABLE notes (id bigint, a_name text);\n",
    concern="any",
    squawk=("identifier-too-long",),
)

SYSTEM = Hazard(
    id="system-setting-changed",
    condition="ALTER SYSTEM, or ALTER DATABASE ... SET, or ALTER ROLE ... SET.",
    effect="Every session that begins from now on runs with the setting, and no downgrade of the schema brings the old "
    "one "
    "back.",
    safe="SET LOCAL it where it is needed, or change it where the platform keeps its settings.",
    bad="ALTER DATABASE shop SET statement_timeout = '10s';\n",
    good="SET LOCAL statement_timeout = '10s';\n",
    concern="any",
    squawk=("ban-alter-system-options", "ban-alter-database-options", "ban-alter-role-options"),
    unless=_is_no_setting,
)
