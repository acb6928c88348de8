"""A foreign key whose own side has no index."""

from collections.abc import Iterator

from postgast import nodes

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import added_constraints, created_constraints
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import index_columns
from migrations.sql.names import Name
from migrations.sql.statements import Statement


def _rule(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a foreign key that nothing indexes, now or later in the history.

    Source: PostgreSQL makes no index for the referencing side; a DELETE of a referenced row looks for those that
        reference it.
    """
    created = tuple(created_constraints(statement.node))
    for one in (*added_constraints(statement.node), *created):
        # Of a table whose indexes nobody has told, a column that was there before may well have one.
        known = state.table(one.table)
        made = all(name in known.columns and known.columns[name].made for name in one.columns)
        told = one.with_column is not None or one in created or known.complete or made
        if one.kind == "foreign key" and told:
            keys = {other.columns for other in created if other.kind in {"unique", "primary key"}}
            if not any(_leads(columns, one.columns) for columns in keys | _indexed(one.table, state)):
                yield Subject(one.table, ", ".join(one.columns), one.name, str(one.references or ""))


def _leads(index: tuple[str, ...], columns: tuple[str, ...]) -> bool:
    return set(index[: len(columns)]) == set(columns)


def _indexed(table: Name, state: DatabaseState) -> set[tuple[str, ...]]:
    known = state.table(table)
    columns = {one.columns for one in known.indexes.values() if not one.partial}
    for one in state.index_builds:
        node = one.node
        if isinstance(node, nodes.IndexStmt) and node.where_clause is None and Name.of_range(node.relation) == table:
            columns.add(index_columns(node))
    columns |= {
        one.columns
        for statement in state.step_statements
        for one in added_constraints(statement.node)
        if one.table == table and one.builds_index
    }
    return columns


HAZARD = Hazard(
    id="foreign-key-without-index",
    condition="No index begins with the columns of a foreign key, in the database or anywhere in the history.",
    effect="Every DELETE from `{detail}`, and every UPDATE of its key, reads all of `{table}` to look for rows that "
    "reference it by {column}, while it holds its locks.",
    safe="CREATE INDEX CONCURRENTLY on {column}, in a revision of its own.",
    bad="CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders (id));\n",
    good="""SET lock_timeout = '2s';
CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders (id));
CREATE INDEX lines_order_idx ON lines (order_id);
""",
    concern="any",
    rule=_rule,
    squawk=("adding-foreign-key-constraint",),
)
