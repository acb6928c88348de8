"""The positions of backfills, stored in the target database in the transaction of each batch.

Sessions may be those of any driver, in autocommit. Values are written as literals into the statements, so that every
driver sends them unchanged.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from migrations.database.literals import literal
from migrations.database.locks import ADVISORY_KEY
from migrations.database.raw_statements import unhooked_cursor
from migrations.database.tools_tables import KEEP_OURS

Direction = Literal["upgrade", "downgrade"]

_TABLES = (
    "CREATE SCHEMA IF NOT EXISTS pilotage",
    """
CREATE TABLE IF NOT EXISTS pilotage.backfills (
    revision text NOT NULL,
    direction text NOT NULL,
    number integer NOT NULL,
    relation text NOT NULL,
    digest text NOT NULL,
    position text[],
    passed bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    estimate bigint NOT NULL DEFAULT 0,
    batch_rows integer NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    closed_at timestamptz,
    PRIMARY KEY (revision, direction, number)
)""",
    """
CREATE TABLE IF NOT EXISTS pilotage.backfill_batches (
    revision text NOT NULL,
    direction text NOT NULL,
    number integer NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id() PRIMARY KEY,
    passed integer NOT NULL,
    changed integer NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)""",
    KEEP_OURS,
)
TABLES_EXIST_QUERY = (
    "SELECT to_regclass('pilotage.backfills') IS NOT NULL AND to_regclass('pilotage.backfill_batches') IS NOT NULL"
)
# Source: pg_locks splits the key of an advisory lock of one bigint into classid and objid, with objsubid 1.
_LOCK_HOLDER_QUERY = f"""
SELECT l.pid FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = {ADVISORY_KEY >> 32}::oid AND l.objid = {ADVISORY_KEY & 0xFFFFFFFF}::oid
"""  # noqa: S608 - numbers.


@dataclass(frozen=True)
class Position:
    """The position of a backfill.

    Attributes:
        key: the last key that is done; None before the first batch.
        passed: rows that it went over.
        changed: rows that it changed.
        batch_rows: rows of the next batch.
        paused: whether somebody has paused it.
        finished: whether it has gone over all rows.
    """

    key: tuple[str, ...] | None
    passed: int
    changed: int
    batch_rows: int
    paused: bool
    finished: bool


@dataclass(frozen=True)
class Batch:
    """The result of a batch.

    Attributes:
        key: the last key that is done now.
        passed: rows that it went over.
        changed: rows that it changed.
        next_rows: rows of the next batch.
        finished: whether it was the last.
    """

    key: tuple[str, ...] | None
    passed: int
    changed: int
    next_rows: int
    finished: bool


class RawSession:
    """A connection of any driver, used past SQLAlchemy: its statements do not count as the revision's.

    Args:
        driver: the driver's connection, in autocommit.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def send(self, statement: str) -> int:
        """Execute a statement; returns how many rows it affected."""
        cursor = unhooked_cursor(self._driver)
        try:
            cursor.execute(statement)
            return max(int(cursor.rowcount), 0)
        finally:
            cursor.close()

    def row(self, statement: str) -> Sequence[Any] | None:
        """The first row of a query."""
        cursor = unhooked_cursor(self._driver)
        try:
            cursor.execute(statement)
            return cursor.fetchone()
        finally:
            cursor.close()

    def rows(self, statement: str) -> Sequence[Sequence[Any]]:
        """All rows of a query."""
        cursor = unhooked_cursor(self._driver)
        try:
            cursor.execute(statement)
            return cursor.fetchall()
        finally:
            cursor.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """One READ COMMITTED transaction, whatever the defaults of the database are."""
        self.send("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE")
        try:
            yield
            self.send("COMMIT")
        except BaseException:
            with suppress(Exception):  # The connection may be gone; the first error tells why.
                self.send("ROLLBACK")
            raise


@dataclass(frozen=True)
class StoredPosition:
    """The row of one backfill in `pilotage.backfills`.

    Attributes:
        revision: whose it is.
        direction: upgrade or downgrade.
        number: which of the revision's, from 1.
    """

    revision: str
    direction: Direction
    number: int

    @property
    def _key_condition(self) -> str:
        return (
            f"revision = {literal(self.revision)} AND direction = {literal(self.direction)} AND number = {self.number}"
        )

    def open(self, session: RawSession, *, relation: str, digest: str, estimate: int, batch_rows: int) -> str:
        """Insert the row where it is missing; reset it where its revision was applied or taken back since.

        Returns:
            The digest that the rows before went through: the given one, unless the revision's file was edited.
        """
        names = "revision, direction, number, relation, digest, estimate, batch_rows"
        values = (
            f"{literal(self.revision)}, {literal(self.direction)}, {self.number}, {literal(relation)},"
            f" {literal(digest)}, {estimate}, {batch_rows}"
        )
        # What was never begun may be edited; `restart` leaves a row that has not begun.
        session.send(
            f"INSERT INTO pilotage.backfills AS b ({names}) VALUES ({values})"  # noqa: S608
            " ON CONFLICT (revision, direction, number) DO UPDATE SET relation = excluded.relation,"
            " digest = excluded.digest, estimate = excluded.estimate, batch_rows = excluded.batch_rows,"
            " position = NULL, passed = 0, changed = 0, started_at = excluded.started_at,"
            " updated_at = excluded.updated_at, finished_at = NULL, closed_at = NULL"
            " WHERE b.closed_at IS NOT NULL OR (b.position IS NULL AND b.finished_at IS NULL)"
        )
        row = session.row(f"SELECT digest FROM pilotage.backfills WHERE {self._key_condition}")  # noqa: S608
        return str(row[0]) if row else digest

    def lock(self, session: RawSession, *, lock_timeout_ms: int, holder: int | None) -> tuple[Position, bool] | None:
        """Lock the row for a batch, so that no two sessions work on one position.

        Returns:
            The position, and whether the migration lock is held by the session that held it; None where the row is
            gone.

        Locks: the row, until the transaction ends.
        """
        held = "true" if holder is None else f"EXISTS ({_LOCK_HOLDER_QUERY} AND l.pid = {holder})"
        # Rows that a policy hides would be passed over in silence: this raises instead.
        row = session.row(
            "SELECT position, passed, changed, batch_rows, paused, finished_at IS NOT NULL,"  # noqa: S608
            f" set_config('lock_timeout', '{lock_timeout_ms}ms', true), set_config('row_security', 'off', true), {held}"
            f" FROM pilotage.backfills WHERE {self._key_condition} FOR NO KEY UPDATE"
        )
        if row is None:
            return None
        key = None if row[0] is None else tuple(str(part) for part in row[0])
        return Position(key, int(row[1]), int(row[2]), int(row[3]), bool(row[4]), bool(row[5])), bool(row[8])

    def advance(self, session: RawSession, batch: Batch) -> None:
        """Store a batch and the new position, in the transaction of the batch."""
        position = "NULL" if batch.key is None else f"ARRAY[{', '.join(literal(part) for part in batch.key)}]::text[]"
        session.send(
            f"WITH batch AS (INSERT INTO pilotage.backfill_batches (revision, direction, number, passed, changed)"  # noqa: S608
            f" VALUES ({literal(self.revision)}, {literal(self.direction)}, {self.number}, {batch.passed},"
            f" {batch.changed})) UPDATE pilotage.backfills SET position = {position}, passed = passed + {batch.passed},"
            f" changed = changed + {batch.changed}, batch_rows = {batch.next_rows}, updated_at = clock_timestamp(),"
            f" finished_at = {'clock_timestamp()' if batch.finished else 'NULL'} WHERE {self._key_condition}"
        )

    def resize(self, session: RawSession, rows: int) -> None:
        """Store how many rows the next batch has."""
        session.send(f"UPDATE pilotage.backfills SET batch_rows = {rows} WHERE {self._key_condition}")  # noqa: S608

    def closing_statement(self) -> str:
        """The statement that closes the backfill: when its revision runs another time, it begins anew."""
        return f"UPDATE pilotage.backfills SET closed_at = clock_timestamp() WHERE {self._key_condition}"  # noqa: S608


def ensure_tables(session: RawSession) -> None:
    """Create the tables of positions where they are missing.

    Raises:
        Exception: what the driver raises where the role may not create them.
    """
    row = session.row(TABLES_EXIST_QUERY)
    if row is None or not row[0]:
        for statement in _TABLES:
            session.send(statement)


def migration_lock_holder(session: RawSession) -> int | None:
    """The backend that holds the migration lock of this database; None where nobody does."""
    row = session.row(_LOCK_HOLDER_QUERY)
    return int(row[0]) if row else None
