"""Records which transactions belong to a revision, so that its rows can be told from those of users.

The xmin of a row names the transaction that wrote it last. A savepoint, or a block of PL/pgSQL with EXCEPTION, is a
subtransaction with an id of its own, and SQL does not tell which transaction it belongs to. But its id is higher than
its transaction's, and in progress as long as that is. Among the ids in progress that no snapshot lists there are
subtransactions of others alone beside the revision's. Which are the revision's is certain where their number matches
(PostgreSQL 16), where no other transaction is open, or, once the revision's has ended, by which ids are still in
progress. Where none of these decides, the record says that it is uncertain.

Source: pg_current_snapshot() lists no ids of savepoints, pg_xact_status() tells of them as of any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from migrations.database.literals import literal
from migrations.database.time_limits import execute_raw
from migrations.history import overwritten_rows, overwritten_values
from migrations.history._open_transaction import OpenTransaction, SinceNote, open_transaction
from migrations.history._written_tables import own_work, written_tables

# Where a publication has all tables, nothing can be deleted from one that has neither a key nor this identity.
TABLE = """
CREATE TABLE IF NOT EXISTS pilotage.revision_transactions (
    revision text NOT NULL,
    first xid8 NOT NULL,
    beyond xid8 NOT NULL,
    certain boolean NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE pilotage.revision_transactions REPLICA IDENTITY FULL;
"""

# More ids than these are not checked one by one while locks are held.
MAX_CANDIDATES = 100_000

FIRE_DEFERRED_TRIGGERS = "SET CONSTRAINTS ALL IMMEDIATE"
"""Makes deferred triggers fire now, and not at COMMIT."""

_OPEN = """
WITH others AS MATERIALIZED (
    SELECT x::text::bigint AS xid FROM pg_snapshot_xip(pg_current_snapshot()) x WHERE x::text::bigint <> %(top)s
)
SELECT ARRAY(SELECT x FROM generate_series(%(top)s + 1, %(beyond)s - 1) x
             WHERE x NOT IN (SELECT xid FROM others) AND pg_xact_status(x::text::xid8) = 'in progress' ORDER BY x),
       ARRAY(SELECT xid FROM others)
"""
_SAVEPOINTS = """
SELECT s.subxact_count FROM pg_stat_get_backend_idset() b, pg_stat_get_backend_subxact(b) s
WHERE pg_stat_get_backend_pid(b) = %s AND NOT s.subxact_overflowed
"""
_ENDED = """
SELECT ARRAY(SELECT x FROM unnest(%s::bigint[]) x WHERE pg_xact_status(x::text::xid8) = %s ORDER BY x)
"""
_INSERT = "INSERT INTO pilotage.revision_transactions (revision, first, beyond, certain) VALUES "
_WITHOUT_ROW_WRITES = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(vacuum|analyze|reindex|cluster|checkpoint|refresh|set|reset|show|alter\s+type|drop)\b",
    re.IGNORECASE | re.DOTALL,
)
_ROLLBACK = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(rollback|abort)\b", re.IGNORECASE | re.DOTALL)
_COMMIT = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(commit|end|prepare\s+transaction)\b", re.IGNORECASE | re.DOTALL)
_SAVEPOINT = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*savepoint\b", re.IGNORECASE | re.DOTALL)


def begins_savepoint(statement: str) -> bool:
    """Whether a statement makes a savepoint."""
    return _SAVEPOINT.match(statement) is not None


def is_commit(statement: str) -> bool:
    """Whether a statement commits its transaction."""
    return _COMMIT.match(statement) is not None


def is_rollback(statement: str) -> bool:
    """Whether a statement rolls a transaction back, wholly or to a savepoint."""
    return _ROLLBACK.match(statement) is not None


@dataclass(frozen=True)
class _SavepointCandidates:
    """The ids that may be subtransactions of a transaction.

    Attributes:
        revision: the revision that runs in it.
        top_xid: the id of the transaction.
        candidate_xids: ids that may be its subtransactions; all of its own are among them.
        savepoint_count: how many subtransactions it has; None where the server does not tell.
        other_xids: other transactions that may have subtransactions among them.
    """

    revision: str
    top_xid: int
    candidate_xids: tuple[int, ...] = ()
    savepoint_count: int | None = None
    other_xids: tuple[int, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether all candidates are subtransactions of the transaction."""
        return not self.candidate_xids or len(self.candidate_xids) == self.savepoint_count or not self.other_xids


class RevisionTransactions:
    """Records the transactions of the revisions that run on another session.

    Args:
        session: in autocommit, not the one that migrates.
        release_id: the release that the revisions belong to.
        is_recorded: whether the database keeps records at all.
        since_xid: the oldest transaction that may have been committed after the restore point; None for the oldest
            of the release.
    """

    def __init__(
        self, session: psycopg.Connection, release_id: str, *, is_recorded: bool, since_xid: int | None = None
    ) -> None:
        self._session = session
        self._release_id = release_id
        self._is_recorded = is_recorded
        self._since_xid = since_xid
        # The last revision of which it is recorded since when its rows are looked at: once for all of its batches.
        self._revision: str | None = None
        self._oldest_xid: int | None = None
        self._first_xid: int | None = None
        self._uncertain: _SavepointCandidates | None = None

    def record_before_commit(
        self,
        session: Any,
        pid: int,
        revision: str,
        *,
        is_recorded_elsewhere: bool = False,
        has_fired_deferred: bool = False,
        batch: overwritten_values.BatchRows | None = None,
    ) -> bool:
        """Record a transaction, its subtransactions and what it has overwritten, before it is committed.

        Its deferred triggers fire here: what they refuse is raised, as COMMIT would have.

        Args:
            session: the driver's connection, in that transaction.
            pid: the process id of its backend.
            revision: whose it is.
            is_recorded_elsewhere: whether the id of the transaction itself is recorded elsewhere.
            has_fired_deferred: whether its deferred triggers have fired, and nothing of the revision came since.
            batch: the rows that a batch of a backfill has gone over.

        Returns:
            Whether there was a transaction that has written.
        """
        if not self._is_recorded:
            return False
        self.resolve_uncertain()
        status = session.info.transaction_status
        if status == TransactionStatus.IDLE:
            return False
        if status == TransactionStatus.INTRANS and not has_fired_deferred:
            # What would fire at COMMIT fires now, so that what it writes is seen; nothing of the revision comes later.
            execute_raw(session, FIRE_DEFERRED_TRIGGERS)
        if self._oldest_xid is None:
            self._oldest_xid = overwritten_values.oldest_transaction_of(self._session, self._release_id)
        is_first = batch is None or revision != self._revision
        note = SinceNote(revision, self._since_xid) if is_first else None
        transaction = open_transaction(self._session, pid, self._oldest_xid, note)
        if transaction is None:
            return False
        self._revision = revision
        self._record_ids(session, pid, revision, transaction, is_recorded_elsewhere=is_recorded_elsewhere)
        if self._oldest_xid is None:
            self._oldest_xid = transaction.xid
        if transaction.has_tables:
            self._record_overwritten(session, pid, revision, transaction, batch)
        return True

    def _record_overwritten(
        self,
        session: Any,
        pid: int,
        revision: str,
        transaction: OpenTransaction,
        batch: overwritten_values.BatchRows | None,
    ) -> None:
        """Record the values and the rows of users that a transaction has overwritten."""
        work = own_work(session, written_tables(self._session, pid))
        files = {table.relation: own.file for table, own in work}
        detector = overwritten_values.OverwriteDetector(self._session, self._oldest_xid or transaction.xid)
        if note := detector.recording_statement(transaction.written, files, revision, batch):
            execute_raw(session, note)
        self._overwritten_rows(transaction).record(work, transaction.xid, revision, batch)

    def _record_ids(
        self, session: Any, pid: int, revision: str, transaction: OpenTransaction, *, is_recorded_elsewhere: bool
    ) -> None:
        """Record the ids of a transaction and its subtransactions."""
        top_xid, next_xid = transaction.xid, transaction.next_xid
        ranges = [] if is_recorded_elsewhere else [(top_xid, top_xid + 1, True)]
        if next_xid - top_xid > MAX_CANDIDATES:
            ranges.append((top_xid + 1, next_xid, False))
        elif next_xid - top_xid > 1:
            candidates = self._find_savepoints(revision, pid, top_xid, next_xid)
            self._uncertain = None if candidates.is_certain else candidates
            ranges += [(*run, candidates.is_certain) for run in _ranges(candidates.candidate_xids)]
        if ranges:
            execute_raw(session, _INSERT + ", ".join(_row(revision, *one) for one in ranges))

    def look_before_row_writes(self, session: Any, pid: int, revision: str, tables: Set[str]) -> None:
        """Record the rows of users in tables that a transaction has for itself, before it writes to them.

        Args:
            session: the driver's connection, in that transaction.
            pid: the process id of its backend.
            revision: whose it is.
            tables: the tables, as SQL names them.
        """
        if not self._is_recorded or session.info.transaction_status != TransactionStatus.INTRANS:
            return
        if self._oldest_xid is None:
            self._oldest_xid = overwritten_values.oldest_transaction_of(self._session, self._release_id)
        transaction = open_transaction(self._session, pid, self._oldest_xid)
        if transaction is not None:
            self._overwritten_rows(transaction).look(session, pid, transaction.xid, revision, tables)

    def _overwritten_rows(self, transaction: OpenTransaction) -> overwritten_rows.OverwrittenRows:
        oldest_xid = self._oldest_xid or transaction.xid
        since_xid = oldest_xid if self._since_xid is None else min(self._since_xid, oldest_xid)
        return overwritten_rows.OverwrittenRows(self._session, oldest_xid, since_xid, transaction.next_xid)

    def resolve_uncertain(self) -> None:
        """Decide, now that the transaction has ended, which candidates were its own."""
        candidates, self._uncertain = self._uncertain, None
        if candidates is None or not self._with_status([candidates.top_xid], "committed"):
            return
        # What goes on is not of a transaction that has ended.
        committed = self._with_status(candidates.candidate_xids, "committed")
        going_on = self._with_status(candidates.other_xids, "in progress")
        other_xids = tuple(xid for xid in candidates.other_xids if xid not in going_on)
        settled = _SavepointCandidates(
            candidates.revision, candidates.top_xid, tuple(committed), candidates.savepoint_count, other_xids
        )
        rows = [_row(candidates.revision, *run, settled.is_certain) for run in _ranges(settled.candidate_xids)]
        with self._session.transaction():
            self._session.execute(
                "DELETE FROM pilotage.revision_transactions WHERE revision = %s AND NOT certain"
                " AND first > %s::text::xid8 AND beyond <= %s::text::xid8",
                (candidates.revision, candidates.top_xid, candidates.candidate_xids[-1] + 1),
            )
            if rows:
                self._session.execute((_INSERT + ", ".join(rows)).encode())

    def autocommit_statement_begins(self, statement: str) -> None:
        """Called before a statement is sent outside a transaction."""
        self.resolve_uncertain()
        writes = "concurrently" not in statement.lower() and _WITHOUT_ROW_WRITES.match(statement) is None
        self._first_xid = self._next_xid() + 1 if self._is_recorded and writes else None

    def autocommit_statement_ended(self, session: Any, pid: int, revision: str) -> None:
        """Record the transactions of a statement that was sent outside a transaction.

        Args:
            session: the driver's connection; in a transaction where one was put around the statement.
            pid: the process id of its backend.
            revision: whose it is.
        """
        first, self._first_xid = self._first_xid, None
        if self.record_before_commit(session, pid, revision) or first is None:
            return
        next_xid = self._next_xid()
        if next_xid > first:
            # It may have had several transactions, and others had theirs meanwhile.
            self._session.execute((_INSERT + _row(revision, first, next_xid, certain=False)).encode())
            overwritten_rows.record_unseen(self._session, revision, next_xid)

    def _next_xid(self) -> int:
        """A fresh transaction id, used for nothing else: all ids below it were assigned before."""
        row = self._session.execute("SELECT pg_current_xact_id()::text").fetchone()
        return int(row[0]) if row else 0

    def _find_savepoints(self, revision: str, pid: int, top_xid: int, next_xid: int) -> _SavepointCandidates:
        row = self._session.execute(_OPEN, {"top": top_xid, "beyond": next_xid}).fetchone()
        opened, other_xids = (tuple(row[0]), tuple(row[1])) if row else ((), ())
        savepoint_count: int | None = None
        if opened and self._session.info.server_version >= 160_000:
            row = self._session.execute(_SAVEPOINTS, (pid,)).fetchone()
            savepoint_count = int(row[0]) if row else None
        if savepoint_count == 0:
            opened = ()
        older = tuple(xid for xid in other_xids if opened and xid < opened[-1])
        return _SavepointCandidates(revision, top_xid, opened, savepoint_count, older)

    def _with_status(self, xids: Sequence[int], state: str) -> list[int]:
        row = self._session.execute(_ENDED, (list(xids), state)).fetchone()
        return list(row[0]) if row else []


def _ranges(xids: Iterable[int]) -> list[tuple[int, int]]:
    """Ids as half-open ranges."""
    ranges: list[tuple[int, int]] = []
    for xid in xids:
        if ranges and ranges[-1][1] == xid:
            ranges[-1] = (ranges[-1][0], xid + 1)
        else:
            ranges.append((xid, xid + 1))
    return ranges


def _row(revision: str, first: int, beyond: int, certain: bool) -> str:
    return f"({literal(revision)}, '{first}'::xid8, '{beyond}'::xid8, {certain})"
