"""The pool of connections: reads survive a restart of the server, writes are never repeated."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

SIZE = 10
WAIT_S = 1.0
# A build that nobody asks any more gives its connections back, as a function does that has gone to sleep.
IDLE_S = 30.0
OPTIONS = "-c statement_timeout=5s -c lock_timeout=3s -c timezone=UTC"

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

_pools: list[ConnectionPool[Connection]] = []


class NotFound(Exception):
    """What was asked for is not there."""


def open_pool(dsn: str) -> None:
    """Open the pool; a database that is not there yet is waited for by each request in turn."""
    _pools.append(
        ConnectionPool[Connection](
            dsn,
            min_size=0,
            max_size=SIZE,
            max_idle=IDLE_S,
            timeout=WAIT_S,
            open=True,
            check=_check,
            reconnect_timeout=5,
            connection_class=psycopg.Connection[Row],
            # Neon pools transactions: a prepared statement would meet another server connection.
            kwargs={"row_factory": dict_row, "prepare_threshold": None, "options": OPTIONS, "connect_timeout": 3},
        )
    )


def _check(connection: Connection) -> None:
    connection.execute("SELECT 1")


def pool() -> ConnectionPool[Connection]:
    """The pool."""
    return _pools[0]


def ping() -> None:
    """Ask the database for an answer."""
    rows("SELECT 1 AS one", ())


def rows(query: LiteralString, parameters: Sequence[object]) -> list[Row]:
    """Read; once more on another connection where the first one was cut."""
    try:
        return _read(query, parameters)
    except psycopg.OperationalError:
        return _read(query, parameters)


def _read(query: LiteralString, parameters: Sequence[object]) -> list[Row]:
    with pool().connection() as connection:
        return connection.execute(query, parameters).fetchall()


@contextmanager
def writing() -> Generator[Connection]:
    """A transaction: all of it is done when the block ends, or nothing."""
    with pool().connection() as connection:
        yield connection


def returned(connection: Connection, query: LiteralString, parameters: Sequence[object]) -> Row:
    """Write, and give the one row that the statement returns."""
    row = connection.execute(query, parameters).fetchone()
    if row is None:
        raise NotFound("what was to be written to is gone")
    return row
