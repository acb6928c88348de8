"""How fast a backfill goes: as many rows a batch as its time allows, and rests while the database has enough to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from migrations.backfill.batch_sql import Backfill
from migrations.database.literals import literal

log = logging.getLogger(__name__)

FIRST_ROWS = 100
MOST_ROWS = 50_000
LOOK_EVERY_S = 1.0

# Source: a slot of a standby that is being copied is no stream yet; who may not look gets NULL.
_LAG = """
SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint
FROM pg_stat_replication WHERE state = 'streaming'
"""
_DEAD = """
SELECT coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(n_live_tup), 0)::bigint
FROM pg_stat_user_tables WHERE relid = to_regclass({table})
   OR relid IN (SELECT relid FROM pg_partition_tree(to_regclass({table})))
"""


@dataclass(frozen=True)
class Limits:
    """What a backfill keeps to.

    Attributes:
        target_ms: milliseconds that a batch is to take: the longest that a client waits for one of its rows.
        rest_share: how long it rests after a batch, as a share of the batch.
        probe_ms: milliseconds of the probe above which it makes way; at least thrice the fastest probe that was seen.
        lag_bytes: WAL that a standby may be behind.
        dead_share: dead rows that it made for a live one, above which it waits for autovacuum.
        dead_rows: dead rows that are no matter, whatever the share.
        patience_s: seconds that it waits for better times before it stops.
        vacuum_s: seconds that it waits for autovacuum before it goes on.
    """

    target_ms: int = 25
    rest_share: float = 0.5
    probe_ms: float = 100.0
    lag_bytes: int = 64 << 20
    dead_share: float = 0.5
    dead_rows: int = 1_000_000
    patience_s: float = 600.0
    vacuum_s: float = 90.0


def next_rows(rows: int, took_s: float, target_ms: int) -> int:
    """How many rows the next batch is to have.

    It doubles or halves at most, so that one lucky or unlucky batch does not decide.

    Args:
        rows: rows of this batch.
        took_s: seconds that it took.
        target_ms: milliseconds that it was to take.
    """
    factor = target_ms / 1000 / max(took_s, 0.0001)
    return max(1, min(MOST_ROWS, round(rows * min(2.0, max(0.5, factor)))))


@dataclass(frozen=True)
class Look:
    """What was seen of the database.

    Attributes:
        probe_ms: milliseconds that a read of the table and a commit took.
        lag_bytes: how far the farthest standby is behind; None where there is none, or it cannot be told.
        dead: dead rows of the table.
        live: live rows of the table.
    """

    probe_ms: float
    lag_bytes: int | None
    dead: int
    live: int


class Pace:
    """Decides after each batch how long to rest, and why.

    Args:
        limits: what it keeps to.
        look: looks at the database; None where that cannot be done.
    """

    def __init__(self, limits: Limits, look: Callable[[], Look | None]) -> None:
        self._limits = limits
        self._look = look
        self._fastest_ms = float("inf")
        self._vacuumed_at: int | None = None
        self._waiting_since: float | None = None
        self._vacuum_since: float | None = None

    def reason_to_wait(self) -> str:
        """Why the next batch is to wait; empty where it need not."""
        seen = self._look()
        reason = "" if seen is None else self._overload(seen) or self._dead_rows(seen)
        if not reason:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = time.monotonic()
        return reason

    @property
    def waited_s(self) -> float:
        """Seconds that it has been waiting without a batch."""
        return 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since

    def _overload(self, seen: Look) -> str:
        self._fastest_ms = min(self._fastest_ms, seen.probe_ms)
        if seen.probe_ms > max(self._limits.probe_ms, 3 * self._fastest_ms):
            return f"a probe took {seen.probe_ms:.0f} ms"
        if seen.lag_bytes is not None and seen.lag_bytes > self._limits.lag_bytes:
            return f"a standby is {seen.lag_bytes >> 20} MB behind"
        return ""

    def _dead_rows(self, seen: Look) -> str:
        """Wait for autovacuum, for a while: it may be off, or kept from its work by an old transaction."""
        most = max(self._limits.dead_rows, round(seen.live * self._limits.dead_share))
        # What was dead before it began is not its own.
        self._vacuumed_at = seen.dead if self._vacuumed_at is None else min(self._vacuumed_at, seen.dead)
        if seen.dead - self._vacuumed_at <= most:
            self._vacuum_since = None
            return ""
        now = time.monotonic()
        self._vacuum_since = self._vacuum_since or now
        if now - self._vacuum_since > self._limits.vacuum_s:
            log.warning("%d dead rows, and autovacuum did not come; going on", seen.dead)
            self._vacuumed_at, self._vacuum_since = seen.dead, None
            return ""
        return f"{seen.dead - self._vacuumed_at} dead rows wait for autovacuum"


class Looker:
    """Looks at the database from a session of its own.

    Args:
        session: in autocommit.
        backfill: what is done.
    """

    def __init__(self, session: psycopg.Connection, backfill: Backfill) -> None:
        self._session = session
        keys = ", ".join(backfill.keys)
        # A read through the key, and the commit of a little WAL: what the application does.
        self._probe = (
            f"SELECT (SELECT 1 FROM {backfill.name} ORDER BY {keys} LIMIT 1),"  # noqa: S608
            " pg_logical_emit_message(true, 'pilotage', 'probe')"
        )
        self._dead = _DEAD.format(table=literal(backfill.name))
        self._looked = float("-inf")
        self._lag_bytes: int | None = None
        self._rows = (0, 0)
        self._failed = False

    def look(self) -> Look | None:
        """Look now; None where the session has failed, which is no reason to stop.

        Locks: AccessShareLock on the table, for one statement.
        """
        if self._failed:
            return None
        try:
            began = time.monotonic()
            self._session.execute(self._probe.encode())
            ended = time.monotonic()
            if ended - self._looked >= LOOK_EVERY_S:
                self._looked = ended
                lag = self._session.execute(_LAG).fetchone()
                self._lag_bytes = None if lag is None or lag[0] is None else int(lag[0])
                rows = self._session.execute(self._dead.encode()).fetchone()
                self._rows = (int(rows[0]), int(rows[1])) if rows else (0, 0)
        except psycopg.Error as error:
            log.warning("the database cannot be looked at meanwhile: %s", error)
            self._failed = True
            return None
        return Look((ended - began) * 1000, self._lag_bytes, *self._rows)
