"""Sessions: those that read, and what every session of ours has in common."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from migrations.database.direct_connections import opened, refuse_pooler
from migrations.database.session_settings import CATALOG_FIRST, OWN, Settings, settling
from migrations.errors import DatabaseRefused

STATEMENT_TIMEOUT_MS = 120_000


def connect(
    dsn: str,
    *,
    autocommit: bool = False,
    application_name: str = "pilotage",
    kind: Settings = OWN,
    **settings: str | int,
) -> psycopg.Connection:
    """Open a session that raises where row-level security would filter rows, and means the same everywhere.

    Args:
        dsn: direct connection string of the owner; its own `options`, and PGOPTIONS, hold for what is not settled.
        autocommit: whether each statement is a transaction of its own.
        application_name: what the session is called in pg_stat_activity.
        kind: what is settled, by what the session is for.
        settings: what the session is to be set to besides.

    Raises:
        DatabaseUnreachable: the server did not answer, or refused the login.
        ThroughPooler: a pooler would give each transaction another backend, so that no setting and no lock would last.
        DatabaseRefused: it refused a setting.
    """
    refuse_pooler(dsn)
    connection = opened(dsn, application_name)
    try:
        connection.execute(settling({**kind, **settings}).encode())
        connection.autocommit = autocommit
    except psycopg.Error as error:
        connection.close()
        raise DatabaseRefused.of(dsn, "settling a session", error) from error
    return connection


@contextmanager
def reader(dsn: str, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> Generator[psycopg.Connection]:
    """Open a read-only REPEATABLE READ session that raises instead of filtering rows.

    What is settled holds for its one transaction alone, so that it reads through a pooler in transaction mode, too, and
    leaves nothing. One in statement mode knows no transactions: it is told by what answers, as everywhere.

    Args:
        dsn: connection string of the owner.
        statement_timeout_ms: milliseconds that one statement may take.

    Raises:
        DatabaseUnreachable: the server did not answer, or the connection was cut.
        ThroughPooler: a pooler cut it, since it allows no transaction.
        DatabaseRefused: a statement of the block was refused.

    Locks: none beyond AccessShareLock of what the block reads.
    """
    settings = {**OWN, "statement_timeout": statement_timeout_ms, "search_path": CATALOG_FIRST}
    connection = opened(dsn, "pilotage")
    # Behind a pooler another client may have prepared a statement of the same name.
    connection.prepare_threshold = None
    try:
        with connection:
            connection.autocommit = False
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute(settling(settings, local=True).encode())
            yield connection
    except psycopg.errors.ProtocolViolation as error:
        # The server itself says so to no client of ours: whoever stands before it does.
        refuse_pooler(dsn)
        raise DatabaseRefused.of(dsn, "reading", error) from error
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "reading", error) from error
