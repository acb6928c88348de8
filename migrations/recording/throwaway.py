"""Throwaway databases, on which revisions are applied to see what they build."""

import logging
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrations.apply.migrate import upgrade
from migrations.catalog.contents import Catalog, read_catalog
from migrations.database.session import connect, reader
from migrations.errors import DatabaseRefused, MigrationError
from migrations.history.revisions import History

log = logging.getLogger(__name__)

PREFIX = "pilotage_throwaway_"
_STAMP = "%Y%m%d%H%M%S"
_LEFTOVER_AFTER = timedelta(days=1)


@contextmanager
def throwaway_database(dsn: str) -> Generator[str]:
    """Create an empty database on the same server, and drop it afterwards.

    Args:
        dsn: direct connection string of a role that may create databases.

    Yields:
        The connection string of the new database.

    Raises:
        DatabaseRefused: the database could not be created.
    """
    name = f"{PREFIX}{datetime.now(UTC).strftime(_STAMP)}_{secrets.token_hex(4)}"
    try:
        with connect(dsn, autocommit=True) as connection:
            _name_leftovers(connection)
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "creating a throwaway database", error) from error
    try:
        yield make_conninfo(dsn, dbname=name)
    finally:
        _drop(dsn, name)


def expected_catalog(dsn: str, history: History, revisions: Sequence[str]) -> Catalog:
    """The catalogue that revisions build on an empty database.

    Args:
        dsn: direct connection string of the server to build it on; its own database is not touched.
        history: the revisions.
        revisions: the revisions to build up to; several where the history has branches.

    Raises:
        MigrationError: the revisions cannot be applied to an empty database.
    """
    with throwaway_database(dsn) as empty:
        return build_catalog(empty, history, revisions)


def build_catalog(empty: str, history: History, revisions: Sequence[str]) -> Catalog:
    """Apply revisions to a throwaway database, and read what they built.

    Args:
        empty: connection string of the throwaway database.
        history: the revisions.
        revisions: the revisions to build up to.

    Raises:
        MigrationError: the revisions cannot be applied to it.
    """
    for revision in revisions:
        upgrade(empty, history, target=revision, release_id="throwaway", record=False)
    with reader(empty) as connection:
        return read_catalog(connection)


def _drop(dsn: str, name: str) -> None:
    try:
        with connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except (psycopg.Error, MigrationError) as error:
        log.warning("throwaway database %s could not be dropped (%s): drop it by hand", name, error)


def _name_leftovers(connection: psycopg.Connection) -> None:
    oldest = f"{PREFIX}{(datetime.now(UTC) - _LEFTOVER_AFTER).strftime(_STAMP)}"
    found = connection.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname < %s ORDER BY 1", (PREFIX, oldest)
    ).fetchall()
    if found:
        log.warning("throwaway databases of dead runs: drop %s", ", ".join(str(row[0]) for row in found))
