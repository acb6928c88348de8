"""The ledger's database: connections, transactions, and what its failures mean.

Every write is a function of a connection that first looks whether its effect already stands, so that it can be run
again when a connection was lost and nobody knows whether the commit came through.
"""

import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg
import psycopg.errors
import stamina
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from deployments.ledger import history
from deployments.ledger.errors import LedgerBusy, LedgerError, LedgerUnreachable, LedgerUnusable
from deployments.ledger.masking import masked

logger = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT_S = 10.0
PATIENCE_S = 30.0
CONNECT_TIMEOUT_S = 10
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
            url: `sqlite:///path/to/file` or `postgresql://user:password@host/database`.

        Raises:
            LedgerUnusable: the address is no ledger that can be used.
            LedgerUnreachable: the database does not answer.
            LedgerBusy: somebody else holds the ledger for too long.
        """
        engine = _engine(_parsed(url.get_secret_value() if isinstance(url, SecretStr) else url))
        store = cls(engine)
        try:
            if not store._once(history.at_head, write=False):
                store._migrate()
        except BaseException:
            engine.dispose()
            raise
        return store

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in a transaction of its own; again where the database was away for a moment."""
        return self._patiently(self._once, query, write=False)

    def write(self, act: Callable[[Connection], T], *, patient: bool = True) -> T:
        """Run a write in a transaction of its own; again where its fate is unknown.

        Args:
            act: Looks first whether its effect stands already: it may be run several times.
            patient: Whether to wait for a database that is away, up to 30 s.

        Raises:
            LedgerUnreachable: the database stayed away; whether the write stands is unknown.
            LedgerBusy: somebody else held the ledger for too long; the write does not stand.
            IntegrityError: the database refused.
        """
        return self._patiently(self._once, act, write=True) if patient else self._once(act, write=True)

    def _once(self, act: Callable[[Connection], T], *, write: bool) -> T:
        try:
            with self._engine.connect().execution_options(ledger_writes=write) as connection, connection.begin():
                return act(connection)
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise _translated(error, self._engine.url) from error

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


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LedgerUnusable(
            "the ledger's address cannot be read: give LEDGER_URL as sqlite:///… or postgresql://…"
        ) from error
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise LedgerUnusable(f"a ledger cannot stand on {backend}: give LEDGER_URL as sqlite:///… or postgresql://…")
    if parsed.database in {None, "", ":memory:"}:
        raise LedgerUnusable("a ledger in memory dies with its process: give LEDGER_URL as sqlite:///path/to/file")
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    wanted: dict[str, Any] = {
        "application_name": "pilotage ledger",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 30,
        "tcp_user_timeout": 30_000,
        # Prepared statements do not survive a pooler in transaction mode.
        "prepare_threshold": None,
    }
    given = {key: value for key, value in wanted.items() if key not in url.query}
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=given)

    @event.listens_for(engine, "begin")
    def bounded(connection: Connection) -> None:
        # A client cut off in the middle must not keep a release's row locked.
        connection.exec_driver_sql(
            "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '30s'"
        )

    return engine


def _sqlite(url: URL) -> Engine:
    folder = Path(url.database or "").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerUnusable(f"the ledger's folder {folder} cannot be made: {error.strerror}") from error
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "recursive_triggers = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: a reader that turns writer would be refused without any patience.
        writes = connection.get_execution_options().get("ledger_writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _translated(error: SQLAlchemyError, url: URL) -> LedgerError:
    where = f"the ledger at {url.render_as_string(hide_password=True)}"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = masked((str(cause).strip() or type(cause).__name__).splitlines()[0])
    if isinstance(error, PoolTimeout):
        return LedgerBusy(f"{where} has no free connection: {said}")
    if isinstance(cause, (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)) or "locked" in said:
        return LedgerBusy(f"{where} is held by somebody else: {said}. Try again.")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or (isinstance(cause, psycopg.OperationalError) and not any(word in str(cause) for word in _REFUSALS)):
        return LedgerUnreachable(f"{where} does not answer: {said}. Is its server up, and LEDGER_URL right?")
    if isinstance(error, (OperationalError, InterfaceError)):
        return LedgerUnusable(f"{where} cannot be opened: {said}. Look at LEDGER_URL.")
    return LedgerUnusable(f"{where} refused: {said}. Does it belong to Pilotage?")
