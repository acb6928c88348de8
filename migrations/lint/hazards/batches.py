"""Data that are changed all at once."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.bounds import is_bounded, is_catalogue
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name
from migrations.sql.sources import source_tables
from migrations.sql.statements import Statement


def _unbounded(statement: Statement, state: DatabaseState) -> bool:
    node = statement.node
    if statement.batched or not isinstance(node, nodes.UpdateStmt | nodes.DeleteStmt):
        return False
    if is_catalogue(Name.of_range(node.relation)):
        return False
    # A loop that does not commit keeps the locks of all its batches.
    return statement.looped or not is_bounded(node, state, in_block=bool(statement.within), around=statement.limited)


def _update(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.MergeStmt):
        if not statement.batched and _merges_many(node, state):
            yield Subject(Name.of_range(node.relation))
    elif isinstance(node, nodes.UpdateStmt) and _unbounded(statement, state):
        yield Subject(Name.of_range(node.relation))


def _merges_many(node: nodes.MergeStmt, state: DatabaseState) -> bool:
    """Whether a MERGE goes by all rows of a table, its own one included."""
    clauses = [one for one in node.merge_when_clauses if isinstance(one, nodes.MergeWhenClause)]
    by_source = any(one.match_kind == pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE for one in clauses)
    return by_source or bool(source_tables(node.source_relation, state, node.with_clause))


def _delete(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    if isinstance(statement.node, nodes.DeleteStmt) and _unbounded(statement, state):
        yield Subject(Name.of_range(statement.node.relation))


def _insert(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.InsertStmt) and not statement.batched:
        for table in sorted(source_tables(node.select_stmt, state, node.with_clause)):
            yield Subject(table, name=str(Name.of_range(node.relation)))


_BY_BATCHES = "Go by key range, some thousand rows a transaction, with a pause between: a backfill, not a statement."

UPDATE = Hazard(
    id="unbatched-update",
    condition="An UPDATE or MERGE of a large table that does not say how many rows it touches.",
    effect="Every row of `{table}` that it changes stays locked until all are changed; it leaves as many dead rows, "
    "and "
    "replicas fall behind.",
    safe=_BY_BATCHES,
    bad="UPDATE orders SET open = true WHERE open IS NULL;\n",
    good="UPDATE orders SET open = true WHERE id >= 1 AND id < 5000 AND open IS NULL;\n",
    rule=_update,
)

DELETE = Hazard(
    id="unbatched-delete",
    condition="A DELETE from a large table that does not say how many rows it touches.",
    effect="Every row of `{table}` that it deletes stays locked until all are gone, those that CASCADE reaches too; "
    "replicas fall behind.",
    safe=_BY_BATCHES,
    bad="DELETE FROM orders WHERE created_at < '2020-01-01';\n",
    good="DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE created_at < '2020-01-01' LIMIT 1000);\n",
    rule=_delete,
)

INSERT = Hazard(
    id="unbatched-insert",
    condition="INSERT ... SELECT of a large table in one statement.",
    effect="It reads all of `{table}` into `{name}` in one transaction: it writes that much WAL at once, holds back "
    "VACUUM "
    "everywhere, and loses all when it fails.",
    safe=_BY_BATCHES,
    bad="INSERT INTO orders_archive SELECT * FROM orders;\n",
    good="INSERT INTO orders_archive SELECT * FROM orders WHERE id > 5000 ORDER BY id LIMIT 1000;\n",
    rule=_insert,
)
