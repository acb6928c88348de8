"""Maintenance that locks everybody out."""

from collections.abc import Iterator

from postgast import nodes

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.database_state import DatabaseState
from migrations.sql.locking import locks, option
from migrations.sql.names import Name
from migrations.sql.statements import Statement


def _cluster(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    if isinstance(statement.node, nodes.ClusterStmt):
        relation = statement.node.relation
        yield Subject(None if relation is None else Name.of_range(relation))


def _vacuum_full(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.VacuumStmt) and node.is_vacuumcmd and option(node.options, "full"):
        tables = [Subject(one.table) for one in locks(node)]
        yield from tables or [Subject()]


def _refresh(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.RefreshMatViewStmt) and not node.concurrent and not node.skip_data:
        yield Subject(Name.of_range(node.relation))


def _lock(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    if isinstance(statement.node, nodes.LockStmt):
        for one in locks(statement.node):
            if one.stops_writes:
                yield Subject(one.table, detail=one.mode)


def _truncate(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    if isinstance(statement.node, nodes.TruncateStmt):
        for one in locks(statement.node):
            yield Subject(one.table)


CLUSTER = Hazard(
    id="cluster",
    condition="CLUSTER on a table that is in use.",
    effect="CLUSTER writes `{table}` anew under an AccessExclusiveLock: reads and writes wait until it has ended.",
    safe="Leave it out, or use pg_repack, which works beside the application.",
    bad="SET lock_timeout = '2s';\nCLUSTER orders USING orders_pkey;\n",
    good="ANALYZE orders;\n",
    rule=_cluster,
    squawk=("prefer-repack",),
)

VACUUM_FULL = Hazard(
    id="vacuum-full",
    condition="VACUUM FULL.",
    effect="VACUUM FULL writes `{table}` anew under an AccessExclusiveLock: reads and writes wait until it has ended.",
    safe="Use VACUUM (ANALYZE), which lets everybody work; where the file must shrink, pg_repack.",
    bad="SET lock_timeout = '2s';\nVACUUM FULL orders;\n",
    good="VACUUM (ANALYZE) orders;\n",
    rule=_vacuum_full,
    squawk=("prefer-repack",),
)

REFRESH = Hazard(
    id="refresh-not-concurrent",
    condition="REFRESH MATERIALIZED VIEW without CONCURRENTLY.",
    effect="Refreshing `{table}` holds an AccessExclusiveLock for as long as its query runs: whoever reads it waits.",
    safe="Give it a unique index, and use REFRESH MATERIALIZED VIEW CONCURRENTLY.",
    bad="SET lock_timeout = '2s';\nREFRESH MATERIALIZED VIEW sales;\n",
    good="SET lock_timeout = '2s';\nREFRESH MATERIALIZED VIEW CONCURRENTLY sales;\n",
    rule=_refresh,
)

LOCK = Hazard(
    id="explicit-lock",
    condition="LOCK TABLE in a mode that stops writes.",
    effect="LOCK TABLE holds `{table}` ({detail}) to the end of the transaction: whoever writes to it waits.",
    safe="Leave it out: each statement takes the lock that it needs.",
    bad="SET lock_timeout = '2s';\nLOCK TABLE orders IN ACCESS EXCLUSIVE MODE;\n",
    good="SET lock_timeout = '2s';\nLOCK TABLE orders IN ROW EXCLUSIVE MODE;\n",
    concern="live",
    rule=_lock,
)

TRUNCATE = Hazard(
    id="truncate",
    condition="TRUNCATE of a table that is in use.",
    effect="TRUNCATE takes every row of `{table}` away under an AccessExclusiveLock, those of the tables that CASCADE "
    "reaches too, and fires no row trigger.",
    safe="Delete what is not needed in batches; drop a table that nothing uses in a contract revision.",
    bad="SET lock_timeout = '2s';\nTRUNCATE orders CASCADE;\n",
    good="DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE cancelled LIMIT 1000);\n",
    concern="live",
    rule=_truncate,
    squawk=("ban-truncate-cascade",),
)
