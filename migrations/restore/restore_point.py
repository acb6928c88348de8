"""The restore point: a place in the WAL, and the set of transactions that were committed there, exact to the commit.

A commit is in the WAL a moment before it is visible, so a place and a snapshot taken one after the other may disagree.
They agree where nothing was visible at the end that was not at the beginning, and no transaction stood between its
commit record and its visibility. Such a one holds the lock on its own transaction id, and only pg_locks shows it:
`pg_current_snapshot()` names no transaction that is younger than the newest that has ended.

Source: CommitTransaction writes the commit record, then leaves the list of running transactions, then releases locks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from migrations.database.session import STATEMENT_TIMEOUT_MS, connect
from migrations.database.session_settings import CATALOG_ALONE, OWN
from migrations.errors import DatabaseRefused, NoQuietMoment, describe_database
from migrations.restore.transaction_snapshot import Snapshot, full_xid

log = logging.getLogger(__name__)

QUIET_S = 3.0
BUDGET_S = 30.0
EXACT_BYTES = 1 << 30

_BEGIN = "SELECT pg_current_snapshot()::text, clock_timestamp()"
_PLACE = """
SELECT pg_current_wal_insert_lsn()::text,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
"""
_RUNNING = """
SELECT array_agg(transactionid::text::bigint) FROM pg_locks
WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
"""
# Source: names and files are those of now, whatever snapshot a transaction has; TRUNCATE and a rewrite give a new file.
_SAME = """
SELECT coalesce(to_regclass(%s)::oid = %s::oid AND pg_relation_filenode(%s::oid) = %s::oid, false)
"""
_END = "SELECT pg_current_snapshot()::text"
_TABLES = """
SELECT n.nspname, c.relname, coalesce(pg_relation_size(c.oid), 0), greatest(c.reltuples, 0)::bigint,
       c.oid, c.relfilenode
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND c.relname <> 'alembic_version'
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Seal:
    """A point in a database's history.

    Attributes:
        lsn: place in the WAL; recovery that stops before the first record that begins here has exactly these commits.
        snapshot: `pg_current_snapshot()` of the same moment: who sees by it sees exactly these commits.
        in_flight_xids: transactions that had begun, and went on; whether one of them ended before the point is told by
            `pg_xact_status` on the restored database. Empty where the moment was quiet.
        sealed_at: the server's clock then.
        timeline: timeline of the WAL.
        row_counts: rows by table at that moment, exact; tables outside of public with their schema.
        estimated_counts: rows of tables too large to count, or changed meanwhile, as the statistics have it.
        attempts: how many moments were looked at.
    """

    lsn: str
    snapshot: str
    in_flight_xids: tuple[int, ...]
    sealed_at: datetime
    timeline: int
    row_counts: Mapping[str, int] = field(default_factory=dict[str, int])
    estimated_counts: Mapping[str, int] = field(default_factory=dict[str, int])
    attempts: int = 1

    @property
    def oldest_open_xid(self) -> int:
        """The oldest transaction that may have been committed after the point."""
        return min((*self.in_flight_xids, Snapshot.parse(self.snapshot).xmax))


@dataclass(frozen=True)
class _Moment:
    """One moment as it was looked at: the snapshot before, the place, who ran, the snapshot after."""

    before: Snapshot
    at: datetime
    lsn: str
    timeline: int
    running: tuple[int, ...]
    after: Snapshot

    def agrees(self, marker: int, *, quiet: bool) -> bool:
        """Whether place and snapshot speak of the same commits.

        Args:
            marker: our own transaction, whose record lies before the place: ids below it are never given out again on
                a branch that is restored to it, so that what became of them can be asked there.
            quiet: whether nothing at all may run.
        """
        if self.before != self.after:
            return False
        return not self.running if quiet else all(xid < marker for xid in self.running)


def seal(dsn: str, *, quiet_s: float = QUIET_S, budget_s: float = BUDGET_S, exact_bytes: int = EXACT_BYTES) -> Seal:
    """Fix a point in the database's history, and count its rows as of that point.

    Args:
        dsn: direct connection string of the owner.
        quiet_s: seconds to look for a moment in which nothing is in flight.
        budget_s: seconds to look for any moment at all.
        exact_bytes: tables that are larger are estimated.

    Returns:
        The point. One more WAL record follows it, so that recovery can stop there.

    Raises:
        NoQuietMoment: commits came too fast for the round trips to this database.
        DatabaseUnreachable, DatabaseRefused: the database did not answer, or not as it must.

    Locks: AccessShareLock on each table for the count; two transactions of our own write one message each.
    """
    settled = {**OWN, "statement_timeout": STATEMENT_TIMEOUT_MS, "search_path": CATALOG_ALONE}
    with (
        connect(dsn, autocommit=True, application_name="pilotage seal", kind=settled) as asking,
        connect(dsn, application_name="pilotage seal", kind=settled) as counting,
    ):
        counting.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        counting.read_only = True
        try:
            moment, attempts = _find(asking, counting, dsn, quiet_s, budget_s)
            _mark(asking, f"restore point {moment.lsn}")
            exact, estimated = _count(counting, exact_bytes)
        except psycopg.Error as error:
            raise DatabaseRefused.of(dsn, "sealing a restore point", error) from error
    return Seal(
        lsn=moment.lsn,
        snapshot=str(moment.before),
        in_flight_xids=moment.running,
        sealed_at=moment.at,
        timeline=moment.timeline,
        row_counts=exact,
        estimated_counts=estimated,
        attempts=attempts,
    )


def _find(
    asking: psycopg.Connection, counting: psycopg.Connection, dsn: str, quiet_s: float, budget_s: float
) -> tuple[_Moment, int]:
    """Look at one moment after another until place and snapshot agree; the counting session stays in that snapshot."""
    began = time.monotonic()
    marker = _mark(asking, "sealing")
    attempts = 0
    while True:
        attempts += 1
        moment = _look(asking, counting)
        spent = time.monotonic() - began
        if moment.agrees(marker, quiet=spent < quiet_s):
            return moment, attempts
        if spent >= budget_s:
            raise NoQuietMoment(describe_database(dsn), attempts, budget_s, moment.running)
        if spent >= quiet_s and moment.before == moment.after:
            # Only transactions younger than the marker are in the way: a new one lies above them.
            marker = _mark(asking, "sealing")


def _look(asking: psycopg.Connection, counting: psycopg.Connection) -> _Moment:
    """Look at one moment. The order is what makes it exact: snapshot, place, who runs, snapshot."""
    counting.rollback()
    before, at = _one(counting.execute(_BEGIN))
    with asking.pipeline():
        # Each statement sees what was committed before it, whatever role and database are set to.
        asking.execute("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY")
        placed, running, after = (asking.execute(query) for query in (_PLACE, _RUNNING, _END))
        asking.execute("COMMIT")
        lsn, timeline = _one(placed)
        (xids,) = _one(running)
        (ended,) = _one(after)
    snapshot = Snapshot.parse(str(before))
    in_flight = tuple(sorted(full_xid(xid, near=snapshot.xmax) for xid in xids or ()))
    return _Moment(snapshot, at, str(lsn), int(timeline), in_flight, Snapshot.parse(str(ended)))


def _mark(asking: psycopg.Connection, text: str) -> int:
    """Commit a transaction of our own, whose record lies in the WAL; its id."""
    xid, _ = _one(
        asking.execute(
            "SELECT pg_current_xact_id()::text::bigint, pg_logical_emit_message(true, 'pilotage', %s)", (text,)
        )
    )
    return int(xid)


def _count(counting: psycopg.Connection, exact_bytes: int) -> tuple[dict[str, int], dict[str, int]]:
    """Count the rows of each table as of the snapshot; one that has changed since then is estimated."""
    exact: dict[str, int] = {}
    estimated: dict[str, int] = {}
    for schema, table, size, tuples, oid, file in counting.execute(_TABLES).fetchall():
        name = table if schema == "public" else f"{schema}.{table}"
        rows = _counted(counting, sql.Identifier(schema, table), oid, file) if size <= exact_bytes else None
        if rows is None:
            estimated[name] = int(tuples)
        else:
            exact[name] = rows
    return exact, estimated


def _counted(counting: psycopg.Connection, table: sql.Identifier, oid: int, file: int) -> int | None:
    """The rows of a table; None where it was dropped, renamed, emptied or rewritten since the snapshot."""
    try:
        with counting.transaction():
            (rows,) = _one(counting.execute(sql.SQL("SELECT count(*) FROM {}").format(table)))
            # The count holds a lock that keeps the table as it is.
            (same,) = _one(counting.execute(_SAME, (table.as_string(counting), oid, oid, file)))
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.WrongObjectType):
        rows, same = 0, False
    if same:
        return int(rows)
    log.warning(
        "%s is not the table any more that it was at the restore point: its rows are estimated", table.as_string()
    )
    return None


def _one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise psycopg.DataError("a query that always gives a row gave none")
    return row
