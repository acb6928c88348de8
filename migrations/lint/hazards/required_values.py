"""Values that the running application does not write, and that a table demands from now on."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import added_columns, column_constraint, commands
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import made_column
from migrations.sql.statements import Statement


def _required(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    for table, column in added_columns(statement.node):
        made = made_column(column)
        demanded = made.not_null or column_constraint(column, pb.CONSTR_PRIMARY) is not None
        if demanded and not made.has_default and not made.generated:
            yield Subject(table, column.colname)


def _default(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    for table, command in commands(statement.node):
        if command.subtype == pb.AT_ColumnDefault and command.def_ is None and statement.origin.phase != "contract":
            known = state.table(table).columns.get(command.name)
            if known is None or known.type is None or known.not_null:
                yield Subject(table, command.name)


REQUIRED = Hazard(
    id="required-column",
    condition="A NOT NULL column without a default is added to a table that is in use.",
    effect="`{table}.{column}` has no value for the rows that are there, so the statement fails unless the table is "
    "empty; "
    "and the running application, which does not write it, cannot insert any more.",
    safe="Add it with a constant default, or nullable: backfill, and make it NOT NULL when the application writes it.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN currency char(3) NOT NULL;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN currency text NOT NULL DEFAULT 'EUR';\n",
    concern="live",
    rule=_required,
    squawk=("adding-required-field",),
)

DEFAULT = Hazard(
    id="default-dropped",
    condition="The default of a column that is, or may be, NOT NULL is dropped before the contract.",
    effect="An INSERT of the running application that leaves `{table}.{column}` out fails from this moment on.",
    safe="Release an application that writes the column first, and drop the default in a contract revision.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ALTER COLUMN currency DROP DEFAULT;\n",
    good="-- phase: contract\nSET lock_timeout = '2s';\nALTER TABLE orders ALTER COLUMN currency DROP DEFAULT;\n",
    concern="live",
    rule=_default,
    squawk=("ban-drop-default",),
)
