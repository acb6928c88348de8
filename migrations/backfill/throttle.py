"""How fast a backfill runs: rows of a batch by the time it took, and pauses while the database is under load."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from migrations.backfill.batch_statements import Backfill
from migrations.database.literals import literal

log = logging.getLogger(__name__)

FIRST_ROWS = 100
MOST_ROWS = 50_000
SAMPLE_EVERY_S = 1.0

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
class ThrottleLimits:
    """The limits that a backfill keeps to.

    Attributes:
        target_ms: milliseconds that a batch is to take: the longest that a client waits for one of its rows.
        rest_share: how long it rests after a batch, as a share of the batch.
        probe_ms: milliseconds of the probe above which it pauses; at least three times the fastest probe so far.
        lag_bytes: WAL that a standby may be behind.
        dead_share: dead rows that it made per live row, above which it waits for autovacuum.
        dead_rows: dead rows for which it never waits, whatever their share.
        max_wait_s: seconds that it pauses under load before it stops.
        max_vacuum_wait_s: seconds that it waits for autovacuum before it goes on.
    """

    target_ms: int = 25
    rest_share: float = 0.5
    probe_ms: float = 100.0
    lag_bytes: int = 64 << 20
    dead_share: float = 0.5
    dead_rows: int = 1_000_000
    max_wait_s: float = 600.0
    max_vacuum_wait_s: float = 90.0


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
class LoadSample:
    """The load of the database at one moment.

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


class Throttle:
    """Decides after each batch whether the next one has to wait, and why.

    Args:
        limits: what it keeps to.
        sample: measures the load of the database; returns None where it cannot.
    """

    def __init__(self, limits: ThrottleLimits, sample: Callable[[], LoadSample | None]) -> None:
        self._limits = limits
        self._sample = sample
        self._fastest_probe_ms = float("inf")
        self._baseline_dead_rows: int | None = None
        self._waiting_since: float | None = None
        self._waiting_for_vacuum_since: float | None = None

    def reason_to_wait(self) -> str:
        """Why the next batch has to wait; empty where it need not."""
        load = self._sample()
        reason = "" if load is None else self._reason_overload(load) or self._reason_dead_rows(load)
        if not reason:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = time.monotonic()
        return reason

    @property
    def waited_s(self) -> float:
        """Seconds that it has been waiting without a batch."""
        return 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since

    def _reason_overload(self, load: LoadSample) -> str:
        self._fastest_probe_ms = min(self._fastest_probe_ms, load.probe_ms)
        if load.probe_ms > max(self._limits.probe_ms, 3 * self._fastest_probe_ms):
            return f"a probe took {load.probe_ms:.0f} ms"
        if load.lag_bytes is not None and load.lag_bytes > self._limits.lag_bytes:
            return f"a standby is {load.lag_bytes >> 20} MB behind"
        return ""

    def _reason_dead_rows(self, load: LoadSample) -> str:
        """Wait for autovacuum, for a limited time: it may be off, or held up by an old transaction."""
        most = max(self._limits.dead_rows, round(load.live * self._limits.dead_share))
        # Rows that were dead before it began are not counted as its own.
        self._baseline_dead_rows = (
            load.dead if self._baseline_dead_rows is None else min(self._baseline_dead_rows, load.dead)
        )
        if load.dead - self._baseline_dead_rows <= most:
            self._waiting_for_vacuum_since = None
            return ""
        now = time.monotonic()
        self._waiting_for_vacuum_since = self._waiting_for_vacuum_since or now
        if now - self._waiting_for_vacuum_since > self._limits.max_vacuum_wait_s:
            log.warning("%d dead rows, and autovacuum did not come; going on", load.dead)
            self._baseline_dead_rows, self._waiting_for_vacuum_since = load.dead, None
            return ""
        return f"{load.dead - self._baseline_dead_rows} dead rows wait for autovacuum"


class LoadSampler:
    """Measures the load of the database from a session of its own.

    Args:
        session: a connection in autocommit.
        backfill: the backfill that runs.
    """

    def __init__(self, session: psycopg.Connection, backfill: Backfill) -> None:
        self._session = session
        keys = ", ".join(backfill.keys)
        # A read through the key, and the commit of a little WAL: what the application does.
        self._probe = (
            f"SELECT (SELECT 1 FROM {backfill.name} ORDER BY {keys} LIMIT 1),"  # noqa: S608
            " pg_logical_emit_message(true, 'pilotage', 'probe')"
        )
        self._dead_rows_query = _DEAD.format(table=literal(backfill.name))
        self._sampled_at = float("-inf")
        self._lag_bytes: int | None = None
        self._dead_and_live = (0, 0)
        self._failed = False

    def sample(self) -> LoadSample | None:
        """Measure the load; None where the session has failed, which does not stop the backfill.

        Locks: AccessShareLock on the table, for one statement.
        """
        if self._failed:
            return None
        try:
            began = time.monotonic()
            self._session.execute(self._probe.encode())
            ended = time.monotonic()
            if ended - self._sampled_at >= SAMPLE_EVERY_S:
                self._sampled_at = ended
                lag = self._session.execute(_LAG).fetchone()
                self._lag_bytes = None if lag is None or lag[0] is None else int(lag[0])
                rows = self._session.execute(self._dead_rows_query.encode()).fetchone()
                self._dead_and_live = (int(rows[0]), int(rows[1])) if rows else (0, 0)
        except psycopg.Error as error:
            log.warning("the database cannot be looked at meanwhile: %s", error)
            self._failed = True
            return None
        return LoadSample((ended - began) * 1000, self._lag_bytes, *self._dead_and_live)
