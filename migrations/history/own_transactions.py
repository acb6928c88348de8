"""Notes which transactions are a revision's own, so that its rows are told from those of users.

A row names the transaction that wrote it last. A savepoint, or a block of PL/pgSQL with EXCEPTION, has an id of its
own, and SQL does not tell whose it is. But it was given out after its transaction's, and is in progress as long as that
is; otherwise that holds of the savepoints of others alone, since a snapshot names every other transaction. Which are
the revision's is told by their number (PostgreSQL 16), by nobody else being there, or, once it has ended, by what goes
on. Where none of these tells, the note says so.

Source: pg_current_snapshot() lists no ids of savepoints, pg_xact_status() tells of them as of any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrations.database.literals import literal
from migrations.database.time_limits import execute_raw
from migrations.history import overwritten

TABLE = """
CREATE TABLE IF NOT EXISTS pilotage.revision_transactions (
    revision text NOT NULL,
    first xid8 NOT NULL,
    beyond xid8 NOT NULL,
    certain boolean NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
# More ids than that are not looked at one by one while locks are held.
MOST = 100_000

_MINE = "SELECT pg_current_xact_id_if_assigned()::text || ' ' || pg_backend_pid()"
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
_NOTE = "INSERT INTO pilotage.revision_transactions (revision, first, beyond, certain) VALUES "
_ALONE = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(vacuum|analyze|reindex|cluster|checkpoint|refresh|set|reset|show|alter\s+type|drop)\b",
    re.IGNORECASE | re.DOTALL,
)
_TAKES_BACK = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(rollback|abort)\b", re.IGNORECASE | re.DOTALL)
_COMMITS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(commit|end|prepare\s+transaction)\b", re.IGNORECASE | re.DOTALL)


def ends_a_transaction(statement: str) -> bool:
    """Whether a statement commits the transaction that it stands in."""
    return _COMMITS.match(statement) is not None


def takes_back(statement: str) -> bool:
    """Whether a statement takes back a transaction, or what was done in it since a savepoint."""
    return _TAKES_BACK.match(statement) is not None


@dataclass(frozen=True)
class _Found:
    """What may be a transaction's savepoints.

    Attributes:
        revision: whose it is.
        top: the transaction.
        open: ids that may be its savepoints: all of its own are among them.
        count: how many it has; None where that cannot be told.
        others: transactions of others that may have savepoints among them.
    """

    revision: str
    top: int
    open: tuple[int, ...] = ()
    count: int | None = None
    others: tuple[int, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether those that may be its savepoints are its savepoints."""
        return not self.open or len(self.open) == self.count or not self.others


class OwnTransactions:
    """Notes the transactions of the revisions that run on another session.

    Args:
        session: in autocommit, not the one that migrates.
        release_id: the release that the revisions belong to.
        is_kept: whether the database keeps records at all.
    """

    def __init__(self, session: psycopg.Connection, release_id: str, *, is_kept: bool) -> None:
        self._session = session
        self._release_id = release_id
        self._is_kept = is_kept
        self._since: int | None = None
        self._from: int | None = None
        self._unsettled: _Found | None = None

    def committing(
        self, session: Any, revision: str, *, is_noted: bool = False, batch: overwritten.Part | None = None
    ) -> bool:
        """Note a transaction and its savepoints, and what it has overwritten, before it is committed.

        Args:
            session: the driver's connection, in that transaction.
            revision: whose it is.
            is_noted: whether the transaction itself is noted elsewhere.
            batch: the rows that a batch of a backfill has gone over.

        Returns:
            Whether there was a transaction that has written.
        """
        if not self._is_kept:
            return False
        self.settle()
        given = execute_raw(session, _MINE)
        if given is None:
            return False
        top, pid = (int(part) for part in str(given).split())
        beyond = self._next()
        noted = [] if is_noted else [(top, top + 1, True)]
        if beyond - top > MOST:
            noted.append((top + 1, beyond, False))
        elif beyond - top > 1:
            found = self._look(revision, pid, top, beyond)
            self._unsettled = None if found.is_certain else found
            noted += [(*run, found.is_certain) for run in _runs(found.open)]
        if noted:
            execute_raw(session, _NOTE + ", ".join(_row(revision, *one) for one in noted))
        if self._since is None:
            self._since = overwritten.oldest_of(self._session, self._release_id) or top
        look = overwritten.Look(self._session, self._since, beyond)
        if note := look.statement(session, pid, revision, batch):
            execute_raw(session, note)
        return True

    def settle(self) -> None:
        """Look again, now that the transaction has ended, at what was not certain before."""
        found, self._unsettled = self._unsettled, None
        if found is None or not self._ended([found.top], "committed"):
            return
        # What goes on is not of a transaction that has ended.
        ended = self._ended(found.open, "committed")
        going_on = self._ended(found.others, "in progress")
        others = tuple(xid for xid in found.others if xid not in going_on)
        settled = _Found(found.revision, found.top, tuple(ended), found.count, others)
        rows = [_row(found.revision, *run, settled.is_certain) for run in _runs(settled.open)]
        with self._session.transaction():
            self._session.execute(
                "DELETE FROM pilotage.revision_transactions WHERE revision = %s AND NOT certain"
                " AND first > %s::text::xid8 AND beyond <= %s::text::xid8",
                (found.revision, found.top, found.open[-1] + 1),
            )
            if rows:
                self._session.execute((_NOTE + ", ".join(rows)).encode())

    def begins(self, statement: str) -> None:
        """A statement is about to be sent outside a transaction."""
        self.settle()
        writes = "concurrently" not in statement.lower() and _ALONE.match(statement) is None
        self._from = self._next() + 1 if self._is_kept and writes else None

    def ended(self, session: Any, revision: str) -> None:
        """Note what a statement wrote that was sent outside a transaction.

        Args:
            session: the driver's connection; in a transaction where one was put around the statement.
            revision: whose it is.
        """
        first, self._from = self._from, None
        if self.committing(session, revision) or first is None:
            return
        beyond = self._next()
        if beyond > first:
            # It may have had several transactions, and others had theirs meanwhile.
            self._session.execute((_NOTE + _row(revision, first, beyond, certain=False)).encode())

    def _next(self) -> int:
        """An id of our own, which is spent: all ids below it were given out before."""
        row = self._session.execute("SELECT pg_current_xact_id()::text").fetchone()
        return int(row[0]) if row else 0

    def _look(self, revision: str, pid: int, top: int, beyond: int) -> _Found:
        row = self._session.execute(_OPEN, {"top": top, "beyond": beyond}).fetchone()
        opened, others = (tuple(row[0]), tuple(row[1])) if row else ((), ())
        count: int | None = None
        if opened and self._session.info.server_version >= 160_000:
            told = self._session.execute(_SAVEPOINTS, (pid,)).fetchone()
            count = int(told[0]) if told else None
        if count == 0:
            opened = ()
        older = tuple(xid for xid in others if opened and xid < opened[-1])
        return _Found(revision, top, opened, count, older)

    def _ended(self, xids: Sequence[int], state: str) -> list[int]:
        row = self._session.execute(_ENDED, (list(xids), state)).fetchone()
        return list(row[0]) if row else []


def _runs(xids: Iterable[int]) -> list[tuple[int, int]]:
    """Ids as ranges without their ends."""
    runs: list[tuple[int, int]] = []
    for xid in xids:
        if runs and runs[-1][1] == xid:
            runs[-1] = (runs[-1][0], xid + 1)
        else:
            runs.append((xid, xid + 1))
    return runs


def _row(revision: str, first: int, beyond: int, certain: bool) -> str:
    return f"({literal(revision)}, '{first}'::xid8, '{beyond}'::xid8, {certain})"
