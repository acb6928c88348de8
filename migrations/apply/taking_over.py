"""A database is taken over from a run that died, or was stopped for longer than its lease."""

import logging
import time

import psycopg

from migrations.apply.errors import NotHeld
from migrations.database.locks import end_sessions_of_migrations
from migrations.database.session import connect
from migrations.errors import DatabaseRefused, describe_database
from migrations.history.guard_row import GuardRaised, Holder, has_guard, write_guard

log = logging.getLogger(__name__)

TAKE_S = 30.0
_LOCK_MS = 1000


def take_over_database(dsn: str, holder: Holder) -> int:
    """End what another run has at work, and let the guard row name this one.

    From its return on, no transaction of a revision of the other run is committed: what it had committed by then
    stands, and what it has not is rolled back by the server or refused by itself. A database without the row is left
    as it is: whoever migrates makes the row first.

    Args:
        dsn: direct connection string of the owner.
        holder: the run that takes over.

    Returns:
        How many sessions there were.

    Raises:
        NotHeld: the row names a later release, or a later run of this one.
        DatabaseRefused: a session may not be ended, or the row is locked for longer than half a minute.

    Locks: the guard row.
    """
    ended, ends = end_sessions_of_migrations(dsn), time.monotonic() + TAKE_S
    with connect(dsn, autocommit=True, lock_timeout=_LOCK_MS) as session:
        try:
            if not has_guard(session):
                return ended
            while not _written(session, holder):
                if time.monotonic() > ends:
                    locked = f"pilotage.release_guard is locked for longer than {TAKE_S:.0f} s"
                    raise DatabaseRefused(describe_database(dsn), "writing the guard row", None, locked)
                ended += end_sessions_of_migrations(dsn)
        except GuardRaised as error:
            raise NotHeld(error) from error
        except psycopg.Error as error:
            raise DatabaseRefused.of(dsn, "writing the guard row", error) from error
    return ended


def _written(session: psycopg.Connection, holder: Holder) -> bool:
    """Write the row; not while a session of the other run is between its last look and its commit."""
    try:
        write_guard(session, holder)
    except psycopg.errors.LockNotAvailable:
        log.warning("the guard row is locked: looking again who holds it")
        return False
    return True
