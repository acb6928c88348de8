"""Rotation of keys: what is encrypted is encrypted again with the first key, in batches, while the application works.

A batch locks its rows, reads, encrypts and writes them in one transaction; rows that somebody else has locked are
passed over and looked for again, so that nobody's write is waited for or lost. What is done stays done: a run that died
is run again.
"""

import logging
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql

from migrations.database.session import connect
from migrations.encryption.cipher import Context, KeyRing, key_id
from migrations.encryption.errors import CiphertextRefused
from migrations.errors import DatabaseRefused
from migrations.protection.encrypted_columns import EncryptedTable, encrypted_tables, present_columns

log = logging.getLogger(__name__)

LOCK_TIMEOUT_MS: Final = 5_000
PASSES: Final = 5
_BETWEEN_PASSES_S: Final = 0.2


@dataclass
class ColumnTally:
    """What was found in one column, and done about it.

    Attributes:
        context: its table and its name.
        rotated: values that had another key of the ring.
        encrypted: values that were plain text.
        unknown: values of keys that are not on the ring, by the key's id.
        unreadable: values that look like ciphertext and do not decrypt.
    """

    context: Context
    rotated: int = 0
    encrypted: int = 0
    unknown: Counter[str] = field(default_factory=Counter[str])
    unreadable: int = 0


@dataclass(frozen=True)
class Rotation:
    """What a rotation found and did.

    Attributes:
        key_id: the key that everything is encrypted with now.
        columns: what was found in each column.
        missing: encrypted columns that the database does not have at its revision.
        left: rows that others had locked or written with another key while this ran.
        dry_run: whether nothing was written.
    """

    key_id: str
    columns: tuple[ColumnTally, ...]
    missing: tuple[Context, ...]
    left: int
    dry_run: bool

    @property
    def complete(self) -> bool:
        """Whether nothing stands with another key, or would after a run that writes."""
        return not self.left and not any(column.unknown or column.unreadable for column in self.columns)


def rotate_keys(
    dsn: str, ring: KeyRing, *, batch_rows: int = 500, dry_run: bool = False, tables: Sequence[EncryptedTable] = ()
) -> Rotation:
    """Encrypt again with the first key what has another one, and encrypt what is plain text.

    Args:
        dsn: direct connection string of the owner.
        ring: the keys; the first one encrypts.
        batch_rows: rows a transaction.
        dry_run: look only.
        tables: the tables to work on; those of the models by default.

    Raises:
        DatabaseUnreachable: the database does not answer.
        DatabaseRefused: it refused a statement; batches before stay done.

    Locks: FOR NO KEY UPDATE on the rows of a batch, until it is written; none in a dry run.
    """
    with _session(dsn) as connection:
        present = present_columns(connection, tuple(tables) or encrypted_tables())
        tallies: list[ColumnTally] = []
        left = 0
        for table in present.tables:
            work = _Table(connection, table, ring, batch_rows=batch_rows, dry_run=dry_run)
            left += work.run()
            tallies += work.tallies
    return Rotation(ring.current, tuple(tallies), present.missing, left, dry_run)


@contextmanager
def _session(dsn: str) -> Generator[psycopg.Connection]:
    connection = connect(dsn, autocommit=True, lock_timeout=LOCK_TIMEOUT_MS)
    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "rotating keys", error) from error


class _Table:
    """The work on one table, in the order of its primary key."""

    def __init__(
        self, connection: psycopg.Connection, table: EncryptedTable, ring: KeyRing, *, batch_rows: int, dry_run: bool
    ) -> None:
        self._connection = connection
        self._table = table
        self._ring = ring
        self._batch_rows = batch_rows
        self._dry_run = dry_run
        self._current = f"aesgcm:{ring.current}:"
        self.tallies = [ColumnTally(context) for context in table.contexts()]

    def run(self) -> int:
        """Go through the table until nothing is left that could be encrypted again; returns the rows that are left."""
        left = 0
        for again in range(PASSES):
            stuck = self._one_pass()
            if self._dry_run:
                return 0
            left = self._count() - stuck
            if left <= 0:
                return 0
            log.info("%s: %d rows were locked by others; pass %d", self._table.name, left, again + 2)
            time.sleep(_BETWEEN_PASSES_S)
        return left

    def _one_pass(self) -> int:
        """Work through every row that is not as it must be; returns how many of them cannot be helped."""
        for tally in self.tallies:
            tally.unknown.clear()
            tally.unreadable = 0
        last: tuple[Any, ...] | None = None
        stuck = 0
        while True:
            with self._connection.transaction():
                rows = self._rows(last)
                stuck += self._again(rows)
            if len(rows) < self._batch_rows:
                return stuck
            last = rows[-1][: len(self._table.key)]

    def _rows(self, last: tuple[Any, ...] | None) -> list[tuple[Any, ...]]:
        """The next rows with a value that the first key has not encrypted: their key, then their values."""
        key = _list(self._table.key)
        query = sql.SQL("SELECT {key}, {values} FROM {table} WHERE ({wrong}){after} ORDER BY {key} LIMIT {limit}{lock}")
        after = sql.SQL(" AND ({key}) > ({last})").format(
            key=key, last=sql.SQL(", ").join(map(sql.Literal, last or ()))
        )
        composed = query.format(
            key=key,
            values=_list(self._table.columns),
            table=self._table.identifier,
            wrong=self._wrong(),
            after=sql.SQL("") if last is None else after,
            limit=sql.Literal(self._batch_rows),
            lock=sql.SQL("" if self._dry_run else " FOR NO KEY UPDATE SKIP LOCKED"),
        )
        return self._connection.execute(composed).fetchall()

    def _again(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """Encrypt a batch again; returns how many of its rows stay wrong."""
        size = len(self._table.key)
        changed: list[tuple[Any, ...]] = []
        stuck = 0
        for row in rows:
            key, before = row[:size], row[size:]
            after = tuple(self._value(tally, value) for tally, value in zip(self.tallies, before, strict=True))
            stuck += any(value is not None and not value.startswith(self._current) for value in after)
            if after != before:
                changed.append((*after, *key))
        if changed and not self._dry_run:
            self._write(changed)
        return stuck

    def _value(self, tally: ColumnTally, value: str | None) -> str | None:
        """A value as the first key encrypts it, or as it is where that cannot be."""
        if value is None or value.startswith(self._current):
            return value
        if not value.startswith("aesgcm:"):
            tally.encrypted += 1
            return self._ring.encrypt(value, tally.context)
        used = key_id(value)
        if used is not None and used not in self._ring.key_ids:
            tally.unknown[used] += 1
            return value
        if used is None:
            tally.unreadable += 1
            return value
        try:
            plaintext = self._ring.decrypt(value, tally.context)
        except CiphertextRefused:
            tally.unreadable += 1
            return value
        tally.rotated += 1
        return self._ring.encrypt(plaintext, tally.context)

    def _write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        to = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in self._table.columns)
        key = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in self._table.key)
        statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(self._table.identifier, to, key)
        with self._connection.cursor() as cursor:
            cursor.executemany(statement, rows)

    def _count(self) -> int:
        query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(self._table.identifier, self._wrong())
        row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _wrong(self) -> sql.Composed:
        return sql.SQL(" OR ").join(
            sql.SQL("NOT starts_with({}, {})").format(sql.Identifier(name), sql.Literal(self._current))
            for name in self._table.columns
        )


def _list(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
