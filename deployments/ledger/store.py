"""The ledger's database: connections, transactions, and what its failures mean.

Every write is a function of a connection that first looks whether its effect already stands, so that it can be run
again when a connection was lost and nobody knows whether the commit came through.
"""

import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self, TypeVar

import psycopg
import psycopg.errors
import stamina
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from deployments.ledger import history
from deployments.ledger.engines import WRITES, engine_for, ledger_file
from deployments.ledger.errors import (
    LedgerBusy,
    LedgerConflict,
    LedgerError,
    LedgerTakesNoWrites,
    LedgerUnreachable,
    LedgerUnusable,
)
from deployments.redaction.redactor import learn_address, redacted

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 30.0
MIGRATION_LOCK = 0x_91_07_A6_E5
_REFUSALS = ("password", "does not exist", "pg_hba.conf", "not permitted", "permission denied")


class Store:
    """A ledger's database, at head."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._patiently = stamina.RetryingCaller(
            attempts=None, timeout=PATIENCE_S, wait_initial=0.1, wait_max=2.0, wait_jitter=0.1
        ).on(is_transient)

    @classmethod
    def open(cls, url: str | SecretStr) -> Self:
        """Open a ledger, and bring it to head; safe when several processes do so at once.

        Args:
            url: `sqlite:///path/to/file` or `postgresql://<user>:<password>@host/database`.

        Raises:
            LedgerUnusable: the address is no ledger that can be used.
            LedgerUnreachable: the database does not answer.
            LedgerBusy: somebody else holds the ledger for too long.
        """
        learn_address(url)
        engine = engine_for(url.get_secret_value() if isinstance(url, SecretStr) else url)
        store = cls(engine)
        try:
            if not store._once(history.at_head, write=False):
                store._migrate()
        except BaseException:
            engine.dispose()
            raise
        return store

    @classmethod
    def is_at_head(cls, url: str | SecretStr) -> bool | None:
        """Whether a ledger needs nothing done to it before it is used; nothing is made or changed.

        Args:
            url: as for `open`.

        Returns:
            False where opening it would bring it to head; None where a file is not there yet and would be made.

        Raises:
            LedgerUnusable: the address is no ledger that can be used.
            LedgerUnreachable: the database does not answer.
        """
        learn_address(url)
        address = url.get_secret_value() if isinstance(url, SecretStr) else url
        if (file := ledger_file(address)) is not None and not file.is_file():
            return None
        with cls(engine_for(address)) as store:
            return store._once(history.at_head, write=False)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in a transaction of its own; again where the database was away for a moment."""
        return self._patiently(self._once, query, write=False)

    def _write(self, act: Callable[[Connection], T], *, patient: bool = True) -> T:
        """Run a write in a transaction of its own; again where its fate is unknown.

        Args:
            act: Looks first whether its effect stands already: it may be run several times.
            patient: Whether to wait for a database that is away, up to 30 s.

        Raises:
            LedgerUnreachable: the database stayed away; whether the write stands is unknown.
            LedgerBusy: somebody else held the ledger for too long; the write does not stand.
            LedgerTakesNoWrites: its disk stayed full, or it read-only; the write does not stand.
            LedgerConflict: the database refused a row.
        """
        return self._patiently(self._once, act, write=True) if patient else self._once(act, write=True)

    def _once(self, act: Callable[[Connection], T], *, write: bool) -> T:
        try:
            with self._engine.connect().execution_options(**{WRITES: write}) as connection, connection.begin():
                return act(connection)
        except SQLAlchemyError as error:
            told = _translated(error, self._engine.url)
            if isinstance(told, LedgerTakesNoWrites):
                # A session goes on with the settings, and the server, that it began with.
                self._engine.dispose()
            raise told from error

    def _migrate(self) -> None:
        if self._engine.dialect.name == "sqlite":
            self._patiently(self._write_ahead)
        busy = stamina.RetryingCaller(attempts=None, timeout=60.0, wait_initial=0.05, wait_max=0.2, wait_jitter=0.05)
        busy.on(LedgerBusy)(self._once, _migrate, write=True)

    def _write_ahead(self) -> None:
        # SQLite refuses this at once where another process is about the same: its busy timeout does not count here.
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise _translated(OperationalError(None, None, error), self._engine.url) from error
        finally:
            connection.close()


def is_transient(error: Exception) -> bool:
    """Whether the same act may succeed when it is tried again."""
    return isinstance(error, LedgerError) and error.transient


def now(connection: Connection) -> datetime:
    """The ledger's own time, one clock for all who share it.

    Args:
        connection: An open connection to the ledger.
    """
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)


def _migrate(connection: Connection) -> None:
    # Tried, not waited for: a session that waits for an advisory lock would hold up every concurrent index build.
    if connection.dialect.name == "postgresql":
        mine = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK}).scalar_one()
        if not mine:
            raise LedgerBusy("another process is bringing the ledger to head and does not come to an end: try again")
    history.upgrade(connection)


def _translated(error: SQLAlchemyError, url: URL) -> LedgerError:
    where = redacted(f"the ledger at {url.render_as_string(hide_password=True)}")
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = redacted(str(cause).strip() or type(cause).__name__).splitlines()[0].removesuffix(".")
    if isinstance(error, IntegrityError):
        return LedgerConflict(f"{where} refused a row: {said}")
    if isinstance(error, PoolTimeout):
        return LedgerBusy(f"{where} has no free connection: {said}")
    if isinstance(cause, (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)) or "locked" in said:
        return LedgerBusy(f"{where} is held by somebody else: {said}. Try again.")
    if _takes_no_writes(cause):
        return LedgerTakesNoWrites(
            f"{where} takes no writes: {said}. Make room on its disk, or see whether LEDGER_URL leads to a standby or "
            "to a database with default_transaction_read_only; then try again."
        )
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or (isinstance(cause, psycopg.OperationalError) and not any(word in str(cause) for word in _REFUSALS)):
        return LedgerUnreachable(f"{where} does not answer: {said}. Is its server up, and LEDGER_URL right?")
    if isinstance(error, (OperationalError, InterfaceError)):
        return LedgerUnusable(f"{where} cannot be opened: {said}. Look at LEDGER_URL.")
    return LedgerUnusable(f"{where} refused: {said}. Does it belong to Pilotage?")


def _takes_no_writes(cause: BaseException) -> bool:
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorname", "") == "SQLITE_FULL"
    return isinstance(cause, (psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction))
