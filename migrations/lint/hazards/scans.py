"""Constraints that are held against every row while nobody can write."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import added_constraints, commands, default_of
from migrations.sql.database_context import Table
from migrations.sql.database_state import DatabaseState
from migrations.sql.statements import Statement


def _check(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a CHECK added with a scan.

    Source: ADD CONSTRAINT CHECK, and a new column's CHECK, read every row under AccessExclusiveLock unless NOT VALID;
        one that is NOT ENFORCED reads none.
    """
    for one in added_constraints(statement.node):
        if one.kind == "check" and not one.node.skip_validation and one.node.is_enforced:
            yield Subject(one.table, ", ".join(one.columns), one.name)


def _foreign_key(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a foreign key added with a scan.

    Source: ADD FOREIGN KEY takes ShareRowExclusiveLock on both tables, and reads the one unless NOT VALID; it reads
        nothing for a new column without a default (transformColumnDefinition sets skip_validation). ALTER CONSTRAINT
        ... ENFORCED (PostgreSQL 18) reads it too.
    """
    for one in added_constraints(statement.node):
        fresh = one.with_column is not None and default_of(one.with_column) is None
        if one.kind == "foreign key" and not one.node.skip_validation and one.node.is_enforced and not fresh:
            yield Subject(one.table, ", ".join(one.columns), one.name, f"`{one.references}`")
    for table, command in commands(statement.node):
        given = command.def_
        if isinstance(given, nodes.ATAlterConstraint) and given.alter_enforceability and given.is_enforced:
            yield Subject(table, name=given.conname, detail="the table that it points at")


def _not_null(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a column made NOT NULL with a scan.

    Source: SET NOT NULL reads every row under AccessExclusiveLock, unless a valid CHECK proves that none is NULL
        (PostgreSQL 12 and later). PRIMARY KEY USING INDEX does the same to the columns of its index.
    """
    for table, command in commands(statement.node):
        known = state.table(table)
        column = known.columns.get(command.name)
        if command.subtype == pb.AT_SetNotNull and not (
            known.proves_not_null(command.name) or (column is not None and column.not_null)
        ):
            yield Subject(table, command.name)
    for one in added_constraints(statement.node):
        if one.kind == "not null" and one.with_column is None and not one.node.skip_validation:
            proven = all(state.table(one.table).proves_not_null(name) for name in one.columns)
            if not proven:
                yield Subject(one.table, ", ".join(one.columns))
        elif one.kind == "primary key" and one.node.indexname:
            nullable = _nullable(state.table(one.table), one.node.indexname)
            if nullable is not None:
                yield Subject(one.table, nullable)


def _nullable(table: Table, index: str) -> str | None:
    """The columns of an index that may hold NULL, which its primary key makes NOT NULL; None where there is none."""
    known = table.indexes.get(index)
    if known is None:
        return ""
    columns = {name: table.columns.get(name) for name in known.columns}
    free = [
        name
        for name, column in columns.items()
        if (column is None or not column.not_null) and not table.proves_not_null(name)
    ]
    return ", ".join(free) or None


CHECK = Hazard(
    id="check-scans",
    condition="A CHECK is added without NOT VALID to a table that is in use.",
    effect="Adding `{name}` reads every row of `{table}` under an AccessExclusiveLock: reads and writes wait for it.",
    safe="Add it NOT VALID, and VALIDATE CONSTRAINT in a later transaction, which lets everybody work.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ADD CONSTRAINT orders_total_check CHECK (total >= 0);\n",
    good="""-- 1.sql
SET lock_timeout = '2s';
ALTER TABLE orders ADD CONSTRAINT orders_total_check CHECK (total >= 0) NOT VALID;
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders VALIDATE CONSTRAINT orders_total_check;
""",
    rule=_check,
    squawk=("constraint-missing-not-valid",),
)

FOREIGN_KEY = Hazard(
    id="foreign-key-scans",
    condition="A foreign key is added without NOT VALID to a table that is in use.",
    effect="Adding `{name}` reads every row of `{table}` while nobody can write to it nor to {detail}.",
    safe="Add it NOT VALID, and VALIDATE CONSTRAINT in a later transaction, which lets everybody work.",
    bad="""SET lock_timeout = '2s';
ALTER TABLE orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
""",
    good="""-- 1.sql
SET lock_timeout = '2s';
ALTER TABLE orders ADD CONSTRAINT orders_customer_fkey
    FOREIGN KEY (customer_id) REFERENCES customers (id) NOT VALID;
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders VALIDATE CONSTRAINT orders_customer_fkey;
""",
    rule=_foreign_key,
    squawk=("adding-foreign-key-constraint", "constraint-missing-not-valid"),
)

NOT_NULL = Hazard(
    id="not-null-scans",
    condition="A column that may hold NULL is made NOT NULL, and no validated constraint proves it.",
    effect="Making `{table}.{column}` NOT NULL reads every row under an AccessExclusiveLock: reads and writes wait.",
    safe="Add CHECK ({column} IS NOT NULL) NOT VALID, VALIDATE it in a later transaction, then SET NOT NULL and drop "
    "the CHECK; from PostgreSQL 18 on, ADD CONSTRAINT ... NOT NULL {column} NOT VALID, then VALIDATE.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL;\n",
    good="""-- 1.sql
SET lock_timeout = '2s';
ALTER TABLE orders ADD CONSTRAINT orders_customer_known CHECK (customer_id IS NOT NULL) NOT VALID;
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE orders VALIDATE CONSTRAINT orders_customer_known;
-- 3.sql
SET lock_timeout = '2s';
ALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE orders DROP CONSTRAINT orders_customer_known;
""",
    rule=_not_null,
    squawk=("adding-not-nullable-field", "constraint-missing-not-valid"),
)
