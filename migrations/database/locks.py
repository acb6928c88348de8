"""Who may migrate: one session a database, and one thread a process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress

import psycopg

from migrations.database.session import connect
from migrations.database.session_settings import CATALOG_FIRST, OWN
from migrations.errors import AdvisoryLockHeld, DatabaseRefused, MigrationRunning, Session, describe_database

log = logging.getLogger(__name__)

ADVISORY_KEY = 0x50494C4F54414745
MIGRATING, HOLDING = "pilotage migration", "pilotage lock"
POLL_S = 0.05
ORPHAN_S = 2.5
PROCESS_WAIT_S = 900.0
END_S = 30.0

_process = threading.Lock()

_SESSION = """
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''),
       coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start)), 0)::float8,
       coalesce(a.query, ''), coalesce(a.xact_start, a.backend_start), coalesce(a.state, '')
FROM pg_stat_activity a
"""
_HOLDERS = (
    _SESSION  # noqa: S608 - two literals.
    + """JOIN pg_locks l ON l.pid = a.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = %(high)s::oid AND l.objid = %(low)s::oid"""
)
_MIGRATING = _SESSION + "WHERE a.datname = current_database() AND a.application_name = %(name)s"
_OF_MIGRATIONS = _SESSION + "WHERE a.datname = current_database() AND a.application_name = ANY (%(names)s)"


@contextmanager
def one_migration() -> Generator[None]:
    """Keep other threads of this process from migrating meanwhile.

    Source: Alembic keeps the context of a run process-wide; two threads would migrate each other's database.

    Raises:
        MigrationRunning: another thread did not end its migration in time.
    """
    if not _process.acquire(timeout=PROCESS_WAIT_S):
        raise MigrationRunning
    try:
        yield
    finally:
        _process.release()


@contextmanager
def migration_lock(dsn: str, *, wait_s: float) -> Generator[psycopg.Connection]:
    """Hold the right to migrate a database, on a session of its own.

    Args:
        dsn: direct connection string; through a transaction pooler the lock would mean nothing.
        wait_s: seconds to wait for another one's end.

    Yields:
        The session that holds the lock, in autocommit: it may be asked who blocks whom.

    Raises:
        AdvisoryLockHeld: another session migrates; it is named.
        ThroughPooler: the lock would mean nothing.

    Locks: a session advisory lock, polled: who waits in pg_advisory_lock holds a snapshot, which CREATE INDEX
        CONCURRENTLY would wait for.
    """
    # It asks the same few things again and again, and planning them takes longer than answering them.
    planned_once = {"plan_cache_mode": "force_generic_plan"}
    settled = {**OWN, "statement_timeout": 30_000, "search_path": CATALOG_FIRST, **planned_once}
    with connect(dsn, autocommit=True, application_name=HOLDING, kind=settled) as session:
        try:
            _acquire(session, dsn, wait_s)
        except psycopg.Error as error:
            raise DatabaseRefused.of(dsn, "taking the migration lock", error) from error
        try:
            yield session
        finally:
            # A pooler in session mode may keep the session for others, and may not clear it.
            with suppress(psycopg.Error):
                session.execute("DISCARD ALL")


def end_sessions_of_migrations(dsn: str) -> int:
    """End every session that migrates a database, or holds the right to, and wait until they are gone.

    What such a session had not committed is rolled back by the server.

    Args:
        dsn: direct connection string of the owner.

    Returns:
        How many sessions there were.

    Raises:
        DatabaseRefused: one of them may not be ended, or is still there after half a minute.
    """
    names = {"names": [MIGRATING, HOLDING]}
    ends = time.monotonic() + END_S
    pids = set[int]()
    with connect(dsn, autocommit=True, kind=OWN) as session:
        try:
            while found := _sessions(session, _OF_MIGRATIONS, names):
                if time.monotonic() > ends:
                    still = f"{found[0]} is still there after {END_S:.0f} s"
                    raise DatabaseRefused(describe_database(dsn), "ending a migration's sessions", None, still)
                for one in found:
                    if one.pid not in pids:
                        pids.add(one.pid)
                        session.execute("SELECT pg_terminate_backend(%s)", (one.pid,))
                        log.warning("ended %s, whose run had died", one)
                time.sleep(POLL_S)
        except psycopg.Error as error:
            raise DatabaseRefused.of(dsn, "ending the sessions of a migration that died", error) from error
    return len(pids)


def _acquire(session: psycopg.Connection, dsn: str, wait_s: float) -> None:
    began = time.monotonic()
    ends = began + wait_s
    key = {"high": ADVISORY_KEY >> 32, "low": ADVISORY_KEY & 0xFFFFFFFF}
    while True:
        row = session.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_KEY,)).fetchone()
        if row and row[0]:
            # The lock of a process that was killed is free at once, but its revision may be rolling back still.
            others = _sessions(session, _MIGRATING, {"name": MIGRATING})
            if not others:
                return
            if time.monotonic() > began + ORPHAN_S:
                _end_orphans(session, others)
            session.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_KEY,))
        else:
            others = _sessions(session, _HOLDERS, key)
        if time.monotonic() >= ends:
            raise AdvisoryLockHeld(describe_database(dsn), others)
        time.sleep(POLL_S)


def _end_orphans(session: psycopg.Connection, others: Iterable[Session]) -> None:
    """End what migrates without the lock: its process is dead, or lost the lock and has to stop.

    Source: client_connection_check_interval lets the server notice a dead client; not on every platform.
    """
    for one in others:
        with suppress(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT pg_terminate_backend(%s)", (one.pid,))
            log.warning("ended %s, which migrated without the migration lock", one)


def _sessions(session: psycopg.Connection, query: str, parameters: Mapping[str, object]) -> tuple[Session, ...]:
    rows = session.execute(query.encode(), parameters).fetchall()
    return tuple(Session(*row) for row in rows)
