"""Which sessions block a migrating session while it works, and which ones it blocks, seen from another session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from migrations.database.trace import Lock
from migrations.disclosure.normalized_statements import normalized
from migrations.errors import Session

PERIOD_S = 0.025
BUILD_PERIOD_S = 0.5

_ANYBODY = b"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
# Only who waits costs a look at who blocks them. Whoever waits behind one that waits for us waits for us, too.
_WAITS = b"""
SELECT l.pid, pg_blocking_pids(l.pid), extract(epoch FROM clock_timestamp() - l.waitstart)::float8 * 1000,
       coalesce(CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END
                || quote_ident(c.relname), ''), l.mode,
       coalesce(a.usename, a.backend_type, ''), coalesce(a.application_name, ''), coalesce(a.query, '')
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_class c ON c.oid = l.relation AND l.locktype = 'relation'
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT l.granted
"""
_SESSIONS = b"""
SELECT a.pid, coalesce(a.usename, a.backend_type, ''), coalesce(a.application_name, ''),
       coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start)), 0)::float8,
       coalesce(a.query, ''), coalesce(a.xact_start, a.backend_start), coalesce(a.state, '')
FROM pg_stat_activity a WHERE a.pid = ANY (%s) ORDER BY a.xact_start, a.pid
"""
_BUILD = b"""
SELECT p.command, coalesce(p.index_relid::regclass::text, ''), p.relid::regclass::text, p.phase,
       p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total, p.lockers_done, p.lockers_total,
       p.current_locker_pid
FROM pg_stat_progress_create_index p WHERE p.pid = %s
"""


@dataclass(frozen=True)
class BlockedSession:
    """A session that a revision blocked.

    Attributes:
        pid: process id of its backend.
        user: role.
        application: its application_name.
        query: the normalized text of what it waited with: never its values.
        waited_ms: milliseconds, in one wait.
    """

    pid: int
    user: str
    application: str
    query: str
    waited_ms: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", normalized(self.query)[:200])


@dataclass(frozen=True)
class _Wait:
    pid: int
    by: tuple[int, ...]
    waited_ms: float
    lock: Lock
    user: str
    application: str
    query: str


class BlockingMonitor:
    """A thread that reads pg_locks several times within a lock_timeout, while a revision runs.

    Args:
        session: in autocommit, not the one that migrates; it holds the migration lock.
        lock_timeout_ms: how long the statements wait.
        on_build: told, from the thread, how far an index has come.
    """

    def __init__(
        self, session: psycopg.Connection, lock_timeout_ms: int, on_build: Callable[[str], None] | None = None
    ) -> None:
        self._session = session
        self._period_s = max(0.002, min(PERIOD_S, lock_timeout_ms * 0.3 / 1000))
        self._on_build = on_build
        self._pid: int | None = None
        self._build_from: float | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._waits: dict[tuple[int, int], BlockedSession] = {}
        self._first: dict[int, float] = {}
        self._waits_for: Sequence[Session] = ()
        self.blockers: Sequence[Session] = ()
        self.waited_for: tuple[Lock, ...] = ()
        self.lost: psycopg.Error | None = None

    def statement_begins(self, pid: int, *, builds: bool = False) -> None:
        """Look from now on, until the transaction has ended.

        Args:
            pid: backend of the session that works.
            builds: whether how far it has come is to be told.
        """
        self._pid = pid
        self._build_from = time.monotonic() + BUILD_PERIOD_S if builds else None
        if self._thread is None:
            self._thread = threading.Thread(target=self._look_now_and_then, name="watching", daemon=True)
            self._thread.start()

    def statement_ended(self) -> None:
        """Tell no more of a build."""
        self._build_from = None

    def transaction_ended(self) -> None:
        """Look no more: nothing is held."""
        self._pid = self._build_from = None

    def forget(self) -> None:
        """Know nothing of who was waited for: another revision begins."""
        self.blockers, self.waited_for = (), ()

    @property
    def longest_ms(self) -> int:
        """The longest that the work since the last `take` made somebody wait, in milliseconds."""
        return max((one.waited_ms for one in list(self._waits.values())), default=0)

    def take(self) -> tuple[BlockedSession, ...]:
        """Whom the work since the last call made wait, the longest wait first."""
        taken = sorted(self._waits.values(), key=lambda one: -one.waited_ms)
        self._waits.clear()
        return tuple(taken)

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _look_now_and_then(self) -> None:
        while not self._over.wait(self._period_s):
            pid = self._pid
            if pid is None:
                continue
            try:
                self._look(pid)
                if self._build_from is not None and time.monotonic() >= self._build_from:
                    self._build_from = time.monotonic() + BUILD_PERIOD_S
                    self._tell_of_build(pid)
            except psycopg.Error as error:
                if self._session.closed:
                    self.lost = error
                    return

    def _look(self, pid: int) -> None:
        now = time.monotonic()
        anybody = self._session.execute(_ANYBODY, prepare=True).fetchone()
        rows = self._session.execute(_WAITS).fetchall() if anybody and anybody[0] else []
        self._first = {int(row[0]): self._first.get(int(row[0]), now) for row in rows}
        waits: dict[int, _Wait] = {}
        for number, by, waited_ms, relation, mode, user, application, query in rows:
            # Source: the server notes when a wait began only a moment after it has begun.
            since = (now - self._first[number]) * 1000 if waited_ms is None else waited_ms
            waits[number] = _Wait(number, tuple(by), since, Lock(relation, mode), user, application, query)
        mine = waits.get(pid)
        self._waits_for = ()
        if mine is not None:
            if mine.lock.relation:
                self.waited_for = tuple(dict.fromkeys((*self.waited_for, mine.lock)))
            found = self._session.execute(_SESSIONS, (list(mine.by),)).fetchall()
            self._waits_for = tuple(Session(*row) for row in found)
            self.blockers = self._waits_for or self.blockers
        for one in waits.values():
            if one.pid != pid and _leads_to(pid, one.pid, waits):
                self._note(one)

    def _note(self, wait: _Wait) -> None:
        began = round(self._first[wait.pid] * 1000)
        known = self._waits.get((wait.pid, began))
        waited_ms = round(wait.waited_ms)
        if known is None or waited_ms > known.waited_ms:
            self._waits[wait.pid, began] = BlockedSession(wait.pid, wait.user, wait.application, wait.query, waited_ms)

    def _tell_of_build(self, pid: int) -> None:
        row = self._session.execute(_BUILD, (pid,)).fetchone()
        line = build_line(*row) if row is not None else ""
        if self._waits_for:
            line = "; ".join(filter(None, (line, *(f"waits for {one}" for one in self._waits_for))))
        if line and self._on_build is not None:
            self._on_build(line)


def build_line(
    command: str,
    index: str,
    table: str,
    phase: str,
    blocks_done: int,
    blocks_total: int,
    tuples_done: int,
    tuples_total: int,
    lockers_done: int,
    lockers_total: int,
    locker: int,
) -> str:
    """How far the build of an index has come, in a line."""
    parts = [f"{index or command} on {table}: {phase}"]
    if blocks_total:
        parts.append(f"{blocks_done} of {blocks_total} blocks ({100 * blocks_done // blocks_total} %)")
    if tuples_total:
        parts.append(f"{tuples_done} of {tuples_total} rows ({100 * tuples_done // tuples_total} %)")
    if lockers_total:
        waits = f", for pid {locker} now" if locker else ""
        parts.append(f"{lockers_done} of {lockers_total} transactions waited for{waits}")
    return "; ".join(parts)


def _leads_to(pid: int, start: int, waits: Mapping[int, _Wait]) -> bool:
    seen: set[int] = set()
    left = [start]
    while left:
        one = left.pop()
        if one == pid:
            return True
        if one in seen or one not in waits:
            continue
        seen.add(one)
        left += waits[one].by
    return False
