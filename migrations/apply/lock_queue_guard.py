"""Which sessions would make a statement wait for a lock, found out before it waits.

A statement that queues for a lock makes everybody queue behind it, for as long as it waits itself. Where somebody has
held a lock for longer than that may be, the statement is not sent: it is held back until they have ended.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from migrations.database.requested_locks import RequestedLocks
from migrations.database.trace import STRENGTH, Lock
from migrations.errors import MigrationError, Session

log = logging.getLogger(__name__)

HolderPolicy = Literal["wait", "end"]

POLL_S = 0.02
SAME_LOOK_S = 0.25
TELL_EVERY_S = 5.0
END_IDLE_AFTER_S = 60.0
OURS = "pilotage"

_SHARE_UPDATE, _SHARE, _SHARE_ROW = 3, 4, 5

# Relations that a statement's own names lead to: an index's table, partitions and heirs, what refers to a dropped one.
_HOLDERS = b"""
WITH RECURSIVE asked AS (
    SELECT DISTINCT CASE WHEN c.relkind IN ('i', 'I') THEN i.indrelid ELSE c.oid END AS oid, l.conflicts, l.spreads
    FROM unnest(%(relations)s::text[], %(conflicts)s::text[], %(spreads)s::boolean[]) AS l(relation, conflicts, spreads)
    JOIN pg_class c ON c.oid = to_regclass(l.relation)
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
), wide AS (
    SELECT oid, conflicts, spreads FROM asked
    UNION
    SELECT h.inhrelid, w.conflicts, w.spreads FROM wide w JOIN pg_inherits h ON h.inhparent = w.oid
), wider AS (
    SELECT oid, conflicts FROM wide
    UNION
    SELECT CASE WHEN k.conrelid = w.oid THEN k.confrelid ELSE k.conrelid END, w.conflicts
    FROM wide w JOIN pg_constraint k ON k.contype = 'f' AND w.oid IN (k.conrelid, k.confrelid) WHERE w.spreads
), locks AS MATERIALIZED (
    SELECT pid, virtualtransaction, relation, mode, granted FROM pg_locks
    WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), held AS (
    SELECT DISTINCT ON (l.pid, l.virtualtransaction) l.pid, l.virtualtransaction, l.mode,
           CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END
           || quote_ident(c.relname) AS relation
    FROM locks l JOIN wider w ON l.relation = w.oid AND l.mode = ANY (string_to_array(w.conflicts, ','))
    JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid IS DISTINCT FROM %(pid)s AND l.pid IS DISTINCT FROM pg_backend_pid()
      -- Who waits for what we hold already does not stand before us.
      AND (l.granted OR NOT EXISTS (SELECT FROM locks o WHERE o.pid = %(pid)s AND o.relation = l.relation))
    ORDER BY l.pid, l.virtualtransaction, l.mode
)
SELECT coalesce(h.pid, 0), h.virtualtransaction, h.relation, h.mode,
       coalesce(a.usename, p.owner, a.backend_type, ''), coalesce(a.application_name, ''),
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8,
       coalesce(a.query, 'PREPARE TRANSACTION ' || quote_literal(p.gid), ''),
       coalesce(a.xact_start, p.prepared), coalesce(a.state, CASE WHEN p.gid IS NOT NULL THEN 'prepared' END, ''),
       a.state_change, coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8
FROM held h LEFT JOIN pg_stat_activity a ON a.pid = h.pid
LEFT JOIN pg_prepared_xacts p ON h.pid IS NULL AND h.virtualtransaction = '-1/' || p.transaction
ORDER BY 9 NULLS LAST, 1
"""

# Between the look and the end, a session may have begun to work, or have begun another transaction.
_END = b"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s AND state IN ('idle in transaction', 'idle in transaction (aborted)')
  AND state_change = %(since)s AND backend_type = 'client backend'
"""


# The catalogue's own tables have numbers below this one.
_QUICK_LOCK_CHECK = b"""
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'relation' AND relation >= 16384
                   AND pid IS DISTINCT FROM %(pid)s AND pid IS DISTINCT FROM pg_backend_pid()
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
       EXISTS (SELECT FROM unnest(%(strong)s::text[]) AS given(name) WHERE to_regclass(name) IS NOT NULL)
"""


@dataclass(frozen=True)
class LockHolder:
    """A session that holds, or queues for, a lock that a statement could not be granted beside.

    Attributes:
        session: who it is; its pid is 0 for a prepared transaction.
        transaction: names its transaction among all that run.
        lock: what it holds.
        age_s: seconds since its transaction began; None where the role may not see it.
        idle_s: seconds since it has done nothing; 0 where it works, or where the role may not see it.
        idle_since: the server's clock at that time.
    """

    session: Session
    transaction: str
    lock: Lock
    age_s: float | None
    idle_s: float
    idle_since: object


def conflicting_modes(mode: str) -> frozenset[str]:
    """The modes that are not granted beside one.

    Source: the table of conflicting lock modes in PostgreSQL's documentation, "Explicit Locking".
    """
    at = STRENGTH.index(mode)
    if at < _SHARE_UPDATE:
        weakest = (7, 6, _SHARE)[at]
        return frozenset(STRENGTH[weakest:])
    if at == _SHARE_UPDATE:
        return frozenset(STRENGTH[_SHARE_UPDATE:])
    if at == _SHARE:
        return frozenset({"RowExclusiveLock", "ShareUpdateExclusiveLock", *STRENGTH[_SHARE_ROW:]})
    return frozenset(STRENGTH[{_SHARE_ROW: 2, 6: 1, 7: 0}[at] :])


def lock_holders(session: psycopg.Connection, requested: RequestedLocks, pid: int) -> tuple[LockHolder, ...]:
    """Who holds or awaits what a statement would have to wait for, oldest transaction first.

    Args:
        session: in autocommit, not the one that is about to wait.
        requested: what the statement asks for.
        pid: backend of the session that will send it.

    Locks: AccessShareLock on system catalogues.
    """
    if not requested.locks:
        return ()
    given = {
        "relations": [lock.relation for lock in requested.locks],
        "conflicts": [",".join(sorted(conflicting_modes(lock.mode))) for lock in requested.locks],
        "spreads": [requested.locks_referencing and lock.stops_reads for lock in requested.locks],
        "pid": pid,
    }
    found: list[LockHolder] = []
    for row in session.execute(_HOLDERS, given):
        number, transaction, relation, mode, user, application, age_s, query, since, state, changed, idle_s = row
        who = Session(number, user, application, age_s or 0.0, query, since, state)
        is_idle = state.startswith("idle in transaction")
        lock = Lock(str(relation), str(mode))
        found.append(LockHolder(who, str(transaction), lock, age_s, idle_s if is_idle else 0.0, changed))
    return tuple(found)


def quick_lock_check(session: psycopg.Connection, requested: RequestedLocks, pid: int) -> tuple[bool, bool]:
    """Find out cheaply whether the holders need to be read at all: most databases are quiet most of the time.

    Args:
        session: in autocommit, not the one that will send the statement.
        requested: what it asks for.
        pid: backend of the session that will send it.

    Returns:
        Whether nobody else holds or awaits any table at all; and whether somebody may have to wait for the statement:
        nobody waits for a table that is being made.

    Locks: AccessShareLock on system catalogues.
    """
    strong = [lock.relation for lock in requested.locks if lock.stops_writes]
    row = session.execute(_QUICK_LOCK_CHECK, {"pid": pid, "strong": strong}, prepare=True).fetchone()
    return (bool(row[0]), bool(row[1])) if row else (False, True)


class WouldQueue(MigrationError):
    """A statement would queue behind sessions that have held its locks for long: its transaction is rolled back.

    Attributes:
        requested: the locks that it asks for.
        pid: the backend that would have sent it.
        holders: the sessions that hold them.
    """

    transient = True

    def __init__(self, requested: RequestedLocks, pid: int, holders: Sequence[LockHolder]) -> None:
        self.requested = requested
        self.pid = pid
        self.holders = tuple(holders)
        super().__init__("; ".join(str(one.session) for one in holders))


class LockQueueGuard:
    """Lets no statement queue behind a session that has held its locks for long.

    Args:
        session: in autocommit, not the one that is to send the statement.
        long_s: seconds; who has held a lock for longer is not queued for.
        holder_policy: `wait`, or `end` for sessions that sit idle in a transaction.
        end_idle_after_s: seconds that such a session has sat before it is ended.
        on_end: told of each session that was ended.
    """

    def __init__(
        self,
        session: psycopg.Connection,
        *,
        long_s: float,
        holder_policy: HolderPolicy,
        end_idle_after_s: float,
        on_end: Callable[[LockHolder], None],
    ) -> None:
        self._session = session
        self._long_s = long_s
        self._holder_policy: HolderPolicy = holder_policy
        self._end_idle_after_s = end_idle_after_s
        self._on_end = on_end
        self._seen: dict[str, float] = {}
        self._last_check: tuple[RequestedLocks | None, float] = (None, 0.0)

    def long_lock_holders(self, requested: RequestedLocks, pid: int, *, no_other_locks: bool) -> tuple[LockHolder, ...]:
        """The sessions that have held a lock for so long that queueing for it would stop everybody else.

        A transaction whose beginning the role may not see is looked at twice: most have ended by then.

        Args:
            requested: what the statement asks for.
            pid: backend of the session that will send it.
            no_other_locks: whether `quick_lock_check` found no lock of anybody else.
        """
        if no_other_locks:
            self._last_check, self._seen = (requested, time.monotonic()), {}
            return ()
        found = self._long_holders(requested, pid)
        if found and all(one.age_s is None for one in found):
            time.sleep(self._long_s / 4)
            found = self._long_holders(requested, pid)
        return found

    def wait(
        self, requested: RequestedLocks, pid: int, *, until: float, tell: Callable[[Sequence[LockHolder]], None]
    ) -> bool:
        """Wait until no long lock holder is left, without queueing for a lock.

        Args:
            requested: what the statement asks for.
            pid: backend of the session that will send it.
            until: the monotonic clock at which to give up.
            tell: told of whom is waited for, whenever that changes, and now and then.

        Returns:
            Whether none is left.
        """
        told: tuple[float, frozenset[str]] = (0.0, frozenset())
        while found := self._long_holders(requested, pid):
            now = time.monotonic()
            who = frozenset(one.transaction for one in found)
            if who != told[1] or now > told[0] + TELL_EVERY_S:
                told = (now, who)
                tell(found)
            if now >= until:
                return False
            if not self._end_idle(found):
                time.sleep(min(POLL_S, max(0.0, until - now)))
        return True

    def _long_holders(self, requested: RequestedLocks, pid: int) -> tuple[LockHolder, ...]:
        now = time.monotonic()
        # Who was not there at a look a moment ago has begun since; who is there at the first look may be old.
        goes_on = self._last_check[0] == requested and now < self._last_check[1] + SAME_LOOK_S
        found = lock_holders(self._session, requested, pid)
        self._last_check = (requested, now)
        self._seen = {one.transaction: self._seen.get(one.transaction, now if goes_on else -math.inf) for one in found}
        ages = [now - self._seen[one.transaction] if one.age_s is None else one.age_s for one in found]
        return tuple(one for one, age_s in zip(found, ages, strict=True) if age_s > self._long_s)

    def _end_idle(self, found: Iterable[LockHolder]) -> bool:
        """End those that sit idle; whether any was."""
        if self._holder_policy != "end":
            return False
        ended = False
        for one in found:
            is_ours = one.session.application.startswith(OURS)
            if one.idle_s <= 0 or one.idle_s < self._end_idle_after_s or is_ours:
                continue
            try:
                row = self._session.execute(_END, {"pid": one.session.pid, "since": one.idle_since}).fetchone()
            except psycopg.errors.InsufficientPrivilege as error:
                reason = error.diag.message_primary or "no right"
                log.warning("%s sits idle in the way and may not be ended: %s. It is waited for", one.session, reason)
                self._holder_policy = "wait"
                return ended
            if row and row[0]:
                ended = True
                self._on_end(one)
        return ended
