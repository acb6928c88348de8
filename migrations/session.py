"""Sessions that read: nothing they do can change a row, and nothing row-level security hides goes uncounted."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from migrations.errors import DatabaseUnreachable

STATEMENT_TIMEOUT_MS = 120_000
CONNECT_TIMEOUT_S = 10


@contextmanager
def reader(dsn: str) -> Iterator[psycopg.Connection]:
    """Open a read-only REPEATABLE READ session that raises instead of filtering rows.

    Args:
        dsn: direct connection string of the owner.

    Raises:
        DatabaseUnreachable: the server did not answer.

    Locks: none beyond AccessShareLock of what the block reads.
    """
    try:
        connection = psycopg.connect(
            dsn,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="pilotage",
            options=f"-c row_security=off -c statement_timeout={STATEMENT_TIMEOUT_MS}",
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable.of(dsn, error) from error
    with connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection
