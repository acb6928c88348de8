"""CREATE INDEX stops writes until it has read the whole table."""

from collections.abc import Iterator

from postgast import nodes

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import index_name
from migrations.sql.names import Name
from migrations.sql.statements import Statement


def _rule(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See an index built without CONCURRENTLY.

    Source: CREATE INDEX takes ShareLock, CONCURRENTLY ShareUpdateExclusiveLock; a partitioned table knows no
        CONCURRENTLY, and ON ONLY builds nothing on one.
    """
    node = statement.node
    if isinstance(node, nodes.IndexStmt) and not node.concurrent and node.relation is not None:
        table = Name.of_range(node.relation)
        only_parent = not node.relation.inh and state.table(table).kind in {"partitioned", "table"}
        if not (only_parent and state.table(table).kind == "partitioned"):
            yield Subject(table, name=index_name(node))


HAZARD = Hazard(
    id="index-not-concurrent",
    condition="CREATE INDEX without CONCURRENTLY on a table that is in use.",
    effect="Building `{name}` holds a ShareLock on `{table}`: every INSERT, UPDATE and DELETE waits until it is built.",
    safe="Use CREATE INDEX CONCURRENTLY, alone in a revision of its own and outside a transaction (autocommit_block); "
    "for a partitioned table CREATE INDEX ... ON ONLY it, build CONCURRENTLY on each partition, then ATTACH PARTITION.",
    bad="SET lock_timeout = '2s';\nCREATE INDEX orders_customer_idx ON orders (customer_id);\n",
    good="CREATE INDEX CONCURRENTLY orders_customer_idx ON orders (customer_id);\n",
    rule=_rule,
    squawk=("require-concurrent-index-creation",),
)
