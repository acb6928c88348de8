"""Connections to the ledger's database, SQLite or PostgreSQL."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from deployments.connection_uri import is_ambiguous
from deployments.ledger.errors import LedgerUnusable
from deployments.redaction.redactor import redacted

BUSY_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10
WRITES = "ledger_writes"
_UNREADABLE = (
    "the ledger's address cannot be read: give LEDGER_URL as sqlite:///… or postgresql://<user>:<password>@host/database,"
    " with / @ : # ? % and blanks of the password percent-encoded"
)


def engine_for(address: str) -> Engine:
    """An engine for a ledger's address; connects to nothing yet.

    Args:
        address: `sqlite:///path/to/file` or `postgresql://<user>:<password>@host/database`.

    Raises:
        LedgerUnusable: no ledger can stand there.
    """
    url = _parsed(address)
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)


def ledger_file(address: str) -> Path | None:
    """The file of a ledger on SQLite; None where it is on a server.

    Raises:
        LedgerUnusable: no ledger can stand there.
    """
    url = _parsed(address)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Both quote the address, and the password with it.
        raise LedgerUnusable(_UNREADABLE) from None
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        if is_ambiguous(url):
            raise LedgerUnusable(_UNREADABLE)
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise LedgerUnusable(
            f"a ledger cannot stand on {redacted(backend)}: give LEDGER_URL as sqlite:///… or postgresql://…"
        )
    if parsed.database in {None, "", ":memory:"}:
        raise LedgerUnusable("a ledger in memory dies with its process: give LEDGER_URL as sqlite:///path/to/file")
    return parsed


def _postgresql(url: URL) -> Engine:
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
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerUnusable(f"the ledger's folder {folder} cannot be made: {error.strerror}") from error
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "do_connect")
    def keep_private(*_: object) -> None:
        _keep_private(Path(url.database or ""))

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "recursive_triggers = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: a reader that turns writer would be refused without any patience.
        writes = connection.get_execution_options().get(WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _keep_private(file: Path) -> None:
    """Let the ledger's owner alone read it: the file before SQLite makes it, and what it has beside it by now.

    A file that is there is not opened: to close it would drop every lock that this process has on it through SQLite,
    and another process would take itself for the last one and delete the WAL.

    Source: SQLite gives its journal, WAL and shared memory the permissions of the database. POSIX locks belong to the
    process, and closing any descriptor of a file drops them all.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for beside in ("", "-journal", "-wal", "-shm"):
        place = file.with_name(file.name + beside)
        with contextlib.suppress(OSError):
            if place.stat().st_mode & 0o077:
                place.chmod(0o600)
