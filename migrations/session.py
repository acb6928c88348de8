"""Sessions: those that read, and what every session of ours has in common."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from migrations.errors import DatabaseRefused, DatabaseUnreachable, place

STATEMENT_TIMEOUT_MS = 120_000
CONNECT_TIMEOUT_S = 10

# Rows as text must read the same from two databases, whatever those are set to.
_AS_TEXT = {"DateStyle": "ISO", "IntervalStyle": "iso_8601", "TimeZone": "UTC", "bytea_output": "hex"}


def connect(
    dsn: str, *, autocommit: bool = False, application_name: str = "pilotage", **settings: str | int
) -> psycopg.Connection:
    """Open a session that raises where row-level security would filter rows.

    Args:
        dsn: direct connection string of the owner; its own `options` stay.
        autocommit: whether each statement is a transaction of its own.
        application_name: what the session is called in pg_stat_activity.
        settings: what the session is to be set to.

    Raises:
        DatabaseUnreachable: the server did not answer, or refused the login.
    """
    wanted = {"row_security": "off", **_AS_TEXT, **settings}
    options = " ".join(f"-c {name}={value}" for name, value in wanted.items())
    try:
        given = conninfo_to_dict(dsn).get("options") or ""
    except psycopg.ProgrammingError:
        # libpq's message would quote the string, and the password with it.
        raise DatabaseUnreachable(place(dsn), "check how it is written") from None
    try:
        return psycopg.connect(
            dsn,
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=application_name,
            options=f"{given} {options}".strip(),
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable.of(dsn, error) from error


@contextmanager
def reader(dsn: str, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> Generator[psycopg.Connection]:
    """Open a read-only REPEATABLE READ session that raises instead of filtering rows.

    Args:
        dsn: direct connection string of the owner.
        statement_timeout_ms: milliseconds that one statement may take.

    Raises:
        DatabaseUnreachable: the server did not answer, or the connection was cut.
        DatabaseRefused: a statement of the block was refused.

    Locks: none beyond AccessShareLock of what the block reads.
    """
    connection = connect(dsn, statement_timeout=statement_timeout_ms)
    try:
        with connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield connection
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "reading", error) from error
