"""Read-only queries of the studio."""

import re
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import cast

import psycopg

from migrations.checks.security.server_side import server_access
from migrations.database.session import connect
from migrations.encryption.cipher import CIPHERTEXT_PATTERN, HIDDEN
from migrations.errors import MigrationError

ROW_LIMIT = 500
TIMEOUT_MS = 10_000
_CIPHERTEXT = re.compile(CIPHERTEXT_PATTERN)
_LONGEST = 500


class QueryRefused(MigrationError):
    """A query that is not run."""


@dataclass(frozen=True)
class Answer:
    """What a query gave.

    Attributes:
        rows: values as text; None is null. Ciphertext is masked.
        more: whether there are more rows than are shown.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    more: bool
    took_ms: float


def run(dsn: str, query: str, *, limit: int = ROW_LIMIT, timeout_ms: int = TIMEOUT_MS) -> Answer:
    """Run one statement in a read-only transaction, which is rolled back.

    Args:
        dsn: direct connection string.
        query: the statement; several are refused.
        limit: rows to read.
        timeout_ms: milliseconds that it may take.

    Raises:
        psycopg.Error: PostgreSQL refuses it, or it writes.
        DatabaseUnreachable: the server did not answer.
        QueryRefused: the role could start programs on the server, which no read-only transaction keeps back.

    Locks: AccessShareLock of what it reads.
    """
    started = time.monotonic()
    with connect(dsn, application_name="pilotage studio", statement_timeout=timeout_ms) as connection:
        if (why := server_access(connection)) is not None:
            raise QueryRefused(f"no query is run, since this role {why}: take the database's owner")
        connection.rollback()
        connection.read_only = True
        with connection.cursor() as cursor:
            # Sent by the extended protocol, which takes one statement: none can end the transaction for a next one.
            # What is not read any more is cancelled when the stream is closed.
            stream = cast("Generator[tuple[object, ...]]", cursor.stream(query.encode()))
            with closing(stream):
                rows = tuple(tuple(_shown(value) for value in row) for row in islice(stream, limit + 1))
                names = tuple(column.name for column in cursor.description or ())
        connection.rollback()
    return Answer(names, rows[:limit], len(rows) > limit, (time.monotonic() - started) * 1000)


def refused(error: psycopg.Error) -> str:
    """What PostgreSQL says against a query."""
    return error.diag.message_primary or str(error).strip() or type(error).__name__


def _shown(value: object) -> str | None:
    if value is None:
        return None
    text = str(value)
    if _CIPHERTEXT.search(text):
        return HIDDEN
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
