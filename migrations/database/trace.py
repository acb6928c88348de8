"""What a run of revisions did, statement by statement: its SQL, the locks it took, how long each was held."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import psycopg

from migrations.database.bookkeeping import is_bookkeeping
from migrations.database.session import connect
from migrations.database.session_settings import CATALOG_FIRST

# A short statement is looked at without pause, a long one now and then.
SHORT_S, OFTEN_S, SELDOM_S = 0.1, 0.0005, 0.02

# Relations that stand for whoever looks from outside: what the transaction itself has made, nobody waits for.
# Source: a statement that writes rows lets its weak locks on indexes go at its end, before its transaction's.
_HELD = b"""
SELECT CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END || quote_ident(c.relname), l.mode
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = %(pid)s AND l.granted AND l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage') AND c.relname !~ '^alembic_version'
  AND NOT (c.relkind IN ('i', 'I') AND l.mode IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
"""

# Source: the table of conflicting lock modes in PostgreSQL's documentation, weakest first.
STRENGTH = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_STOPS_READS = frozenset({"AccessExclusiveLock"})
_STOPS_WRITES = frozenset({"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"})


@dataclass(frozen=True, order=True)
class Lock:
    """A lock on a relation that others may use.

    Attributes:
        relation: its name, with its schema outside of public.
        mode: as pg_locks names it.
    """

    relation: str
    mode: str

    @property
    def stops_reads(self) -> bool:
        """Whether nobody can read the relation meanwhile."""
        return self.mode in _STOPS_READS

    @property
    def stops_writes(self) -> bool:
        """Whether nobody can write to the relation meanwhile."""
        return self.mode in _STOPS_WRITES


@dataclass(frozen=True)
class HeldLock:
    """A lock, and when it was held.

    Attributes:
        lock: what was locked, and how.
        from_s: seconds from the beginning of the trace to when its statement began, or to when it was first seen.
        until_s: seconds to when it was let go.
    """

    lock: Lock
    from_s: float
    until_s: float

    @property
    def held_ms(self) -> float:
        """How long, in milliseconds; the wait for it included."""
        return (self.until_s - self.from_s) * 1000


@dataclass(frozen=True)
class TracedStatement:
    """A statement of a revision, as it ran.

    Attributes:
        revision: whose it is.
        sql: its text, parameters written in.
        transaction: which transaction of the trace it ran in; None outside of one.
        began_s: seconds from the beginning of the trace.
        duration_ms: milliseconds.
        rows: rows that it changed; None where it changes none.
        locks: those that it took first.
    """

    revision: str
    sql: str
    transaction: int | None
    began_s: float
    duration_ms: float
    rows: int | None
    locks: tuple[HeldLock, ...]


class Trace:
    """Looks at a migrating session from a session of its own, after each statement.

    A transaction's locks are kept to its end, so that one look after each statement sees all of them. A statement
    outside of a transaction lets its locks go: it is looked at while it runs, so that one of less than a millisecond
    may show none.
    """

    def __init__(self, session: psycopg.Connection) -> None:
        self._session = session
        self._origin = time.monotonic()
        self._done: list[TracedStatement] = []
        self._open: list[TracedStatement] = []
        self._running: _Running | None = None
        self._transaction = 0

    @classmethod
    @contextmanager
    def of(cls, dsn: str) -> Generator[Trace]:
        """Trace what happens in a database.

        Args:
            dsn: connection string of the role that migrates, or of one that may read pg_locks of it.
        """
        with connect(dsn, autocommit=True, application_name="pilotage trace", search_path=CATALOG_FIRST) as session:
            yield cls(session)

    @property
    def statements(self) -> tuple[TracedStatement, ...]:
        """The statements whose effect stands, in order."""
        return tuple(self._done)

    def statement_begins(self, pid: int, revision: str, sql: str, parameters: object, *, in_autocommit: bool) -> None:
        """Note a statement that is about to run.

        Args:
            pid: backend that runs it.
            revision: whose it is.
            sql: its text, as the driver gets it.
            parameters: its parameters.
            in_autocommit: whether it runs outside of a transaction.
        """
        if is_bookkeeping(sql):
            return
        text = written_out(self._session, sql, parameters)
        self._running = _Running(self._session, pid, revision, text, in_autocommit=in_autocommit)

    def statement_ended(self, rows: int | None = None) -> None:
        """Note a statement that has run, and what it has locked that the ones before it had not."""
        running, self._running = self._running, None
        if running is None:
            return
        seen = running.end()
        known = {held.lock for statement in self._open for held in statement.locks}
        ended_s = time.monotonic() - self._origin
        statement = TracedStatement(
            running.revision,
            running.sql,
            None if running.in_autocommit else self._transaction,
            running.began - self._origin,
            (time.monotonic() - running.began) * 1000,
            rows,
            tuple(
                HeldLock(lock, first - self._origin, ended_s)
                for lock, first in sorted(seen.items())
                if lock not in known
            ),
        )
        (self._done if running.in_autocommit else self._open).append(statement)

    def look(self) -> None:
        """Look into a statement outside of transactions, whose locks are about to be let go."""
        if self._running is not None:
            self._running.look()

    def statement_failed(self) -> None:
        """Forget a statement that raised."""
        if self._running is not None:
            self._running.end()
            self._running = None

    def transaction_ended(self, *, committed: bool) -> None:
        """Let go of the transaction's locks; what was rolled back is forgotten."""
        until_s = time.monotonic() - self._origin
        if committed:
            self._done += [
                replace(one, locks=tuple(replace(held, until_s=until_s) for held in one.locks)) for one in self._open
            ]
        if self._open:
            self._transaction += 1
        self._open.clear()


class _Running:
    """A statement under way, sampled while it runs where its locks end with it."""

    def __init__(self, session: psycopg.Connection, pid: int, revision: str, sql: str, *, in_autocommit: bool) -> None:
        self.revision, self.sql, self.in_autocommit = revision, sql, in_autocommit
        self._session, self._pid = session, pid
        self._seen: dict[Lock, float] = {}
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True) if in_autocommit else None
        self.began = time.monotonic()
        if self._sampler is not None:
            self._sampler.start()

    def end(self) -> Mapping[Lock, float]:
        """The locks that were seen, with the clock of when each was taken at the earliest."""
        self._over.set()
        if self._sampler is not None:
            self._sampler.join()
            return self._seen
        return dict.fromkeys(held(self._session, self._pid), self.began)

    def look(self) -> float:
        """See what is held now; the clock before that."""
        now = time.monotonic()
        for lock in held(self._session, self._pid):
            self._seen.setdefault(lock, now)
        return now

    def _sample(self) -> None:
        while not self._over.is_set():
            now = self.look()
            self._over.wait(OFTEN_S if now - self.began < SHORT_S else SELDOM_S)


def held(session: psycopg.Connection, pid: int) -> tuple[Lock, ...]:
    """The locks that a backend holds now on relations that others can see.

    Args:
        session: any other session of the database, in autocommit.
        pid: the backend's process id.
    """
    return tuple(Lock(str(relation), str(mode)) for relation, mode in session.execute(_HELD, {"pid": pid}))


def written_out(connection: psycopg.Connection, sql: str, parameters: object) -> str:
    """A statement with its parameters as literals; several of them where it was sent with several rows."""
    cursor = psycopg.ClientCursor(connection)
    rows = cast("Sequence[object]", parameters) if isinstance(parameters, list | tuple) else ()
    if rows and isinstance(rows[0], Mapping | tuple | list):
        return ";\n".join(_mogrified(cursor, sql, row) for row in rows)
    return _mogrified(cursor, sql, cast("object", parameters))


def _mogrified(cursor: psycopg.ClientCursor, sql: str, parameters: object) -> str:
    try:
        return cursor.mogrify(sql.encode(), parameters).strip()  # pyright: ignore[reportArgumentType]
    except (psycopg.Error, TypeError, ValueError):
        # A value that the driver cannot write out: the statement is shown as it was prepared.
        return sql.strip()
