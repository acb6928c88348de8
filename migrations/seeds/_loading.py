"""Rows into tables: by COPY, in one transaction a table; what is there already stays as it is."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

import psycopg
from psycopg import sql

from migrations.database.session import connect
from migrations.encryption.cipher import Context, KeyRing
from migrations.errors import DatabaseRefused
from migrations.protection.encrypted_columns import encrypted_tables
from migrations.seeds._copy_format import NULL

log = logging.getLogger(__name__)

CHUNK_ROWS: Final = 5_000
LOCK_TIMEOUT_MS: Final = 10_000

Row = tuple[str, ...]

_LIVE = """
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
_TRIGGERS = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal AND tgenabled = 'O')
"""


@dataclass(frozen=True)
class TableRows:
    """Rows for one table.

    Attributes:
        table: its name in `public`.
        columns: the columns that the rows have values for; those that the database lacks are left out.
        rows: makes the rows, the same each time, as fields of COPY's text format; plain text for encrypted columns,
            without tabs, backslashes and line ends.
    """

    table: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterable[Row]]


@dataclass(frozen=True)
class Loaded:
    """What was loaded into one table.

    Attributes:
        table: its name.
        rows: how many rows were made.
        added: how many of them were not there yet.
        seconds: how long it took.
    """

    table: str
    rows: int
    added: int
    seconds: float


def live_columns(connection: psycopg.Connection) -> dict[str, frozenset[str]]:
    """The columns of each table of `public`.

    Locks: none on user tables.
    """
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(_LIVE):
        found.setdefault(str(table), set()).add(str(column))
    return {table: frozenset(columns) for table, columns in found.items()}


def needs_keys(tables: Iterable[str]) -> tuple[str, ...]:
    """Which of the tables have columns that hold ciphertext."""
    encrypted = {one.name for one in encrypted_tables()}
    return tuple(table for table in tables if table in encrypted)


def load(
    dsn: str, given: TableRows, live: Mapping[str, frozenset[str]], *, keys: KeyRing | None, triggers: bool
) -> Loaded:
    """Load the rows of one table that it does not have yet, in one transaction.

    An empty table takes them directly. Else they go through a temporary table: COPY knows no conflict, and is refused
    where row-level security holds, as it does for a role without BYPASSRLS.

    Source: PostgreSQL documentation, COPY: "Currently, COPY FROM is not supported for tables with row-level security."

    Args:
        dsn: direct connection string of the owner.
        given: the rows.
        live: the columns of each table.
        keys: what encrypted columns are encrypted with; None where there are no values for any.
        triggers: whether the table's triggers run; where not, the rows hold already what they would do.

    Raises:
        DatabaseRefused: a row was refused; none was added.
        DatabaseUnreachable: the connection was cut; none was added.

    Locks: RowExclusiveLock on the table; without triggers ShareRowExclusiveLock, so that others do not write meanwhile.
    """
    began = time.monotonic()
    columns = [name for name in given.columns if name in live[given.table]]
    lines = _Lines(given, columns, keys)
    try:
        with connect(dsn, lock_timeout=LOCK_TIMEOUT_MS, statement_timeout=0) as connection:
            added = _added(connection, given.table, columns, lines, triggers=triggers)
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, f"seeding {given.table}", error) from error
    done = Loaded(given.table, lines.rows, added, time.monotonic() - began)
    log.info("%s: %d rows, %d of them new, %.1f s", done.table, done.rows, done.added, done.seconds)
    return done


class _Lines:
    """The rows as chunks of text, counted as they pass."""

    def __init__(self, given: TableRows, columns: list[str], keys: KeyRing | None) -> None:
        self.rows = 0
        self._rows = given.rows
        self._places = [given.columns.index(name) for name in columns]
        self._whole = len(self._places) == len(given.columns)
        self._keys = keys
        hidden = {column for one in encrypted_tables() if one.name == given.table for column in one.columns}
        self._sealed: list[tuple[int, Context]] = [
            (place, (given.table, name)) for place, name in enumerate(columns) if name in hidden
        ]

    def __iter__(self) -> Iterator[str]:
        rows = iter(self._rows())
        while chunk := list(islice(rows, CHUNK_ROWS)):
            self.rows += len(chunk)
            if not self._whole:
                chunk = [tuple(row[place] for place in self._places) for row in chunk]
            if self._sealed:
                chunk = [self._encrypted(row) for row in chunk]
            yield "\n".join(map("\t".join, chunk)) + "\n"

    def _encrypted(self, row: Row) -> Row:
        if self._keys is None:
            return row
        sealed = list(row)
        for place, context in self._sealed:
            if sealed[place] != NULL:
                sealed[place] = self._keys.encrypt(sealed[place], context)
        return tuple(sealed)


def _added(
    connection: psycopg.Connection, table: str, columns: list[str], lines: Iterable[str], *, triggers: bool
) -> int:
    name = sql.Identifier("public", table)
    quiet = not triggers and _one(connection, _TRIGGERS, f'public."{table}"')
    if quiet:
        connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
    guarded = _one(connection, "SELECT row_security_active(%s)", f'public."{table}"')
    if guarded:
        # The policies judge each row then, and refuse what they do not let in.
        connection.execute("SET LOCAL row_security = on")
    if triggers or guarded or _one(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(name)):
        added = _merged(connection, name, columns, lines)
    else:
        added = _copied(connection, name, columns, lines)
    if quiet:
        connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(name))
    if added and not triggers:
        connection.execute(sql.SQL("ANALYZE {}").format(name))
    return added


def _merged(connection: psycopg.Connection, name: sql.Identifier, columns: list[str], lines: Iterable[str]) -> int:
    staged = sql.Identifier("pg_temp", "seeded")
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE seeded ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(listed, name)
    )
    _copied(connection, staged, columns, lines)
    return connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(name, listed, listed, staged)
    ).rowcount


def _copied(connection: psycopg.Connection, name: sql.Identifier, columns: list[str], lines: Iterable[str]) -> int:
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, listed)) as copy:
            for chunk in lines:
                copy.write(chunk)
        return cursor.rowcount


def _one(connection: psycopg.Connection, query: str | sql.Composed, *parameters: str) -> bool:
    row = connection.execute(query.encode() if isinstance(query, str) else query, parameters or None).fetchone()
    return row is not None and bool(row[0])
