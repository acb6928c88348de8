"""Which database a project's own env.py tried to connect to and could not, whatever driver it uses."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from migrations.disclosure.sentences import clause
from migrations.disclosure.server_messages import safe_message, sqlstate_of
from migrations.errors import DatabaseUnreachable, MigrationError, describe_database


@contextmanager
def explaining_failed_connections(configured_dsn: str) -> Generator[None]:
    """Raise DatabaseUnreachable where the block fails before any of its connections was established.

    Args:
        configured_dsn: connection string that env.py was given.

    Raises:
        DatabaseUnreachable: names the database that env.py tried to connect to, and what to do.
    """
    thread = threading.get_ident()
    attempted: list[Mapping[str, Any]] = []
    connected: list[bool] = []

    def on_connection_attempt(dialect: object, record: object, given: object, parameters: Mapping[str, Any]) -> None:
        del dialect, record, given
        if threading.get_ident() == thread:
            attempted.append(parameters)

    def on_connected(connection: object) -> None:
        del connection
        if threading.get_ident() == thread:
            connected.append(True)

    event.listen(Engine, "do_connect", on_connection_attempt)
    event.listen(Engine, "engine_connect", on_connected)
    try:
        yield
    except MigrationError:
        raise
    except Exception as error:
        why = next((one for one in _chain(error) if _is_of_a_driver(one)), None)
        if not attempted or connected or why is None:
            # A revision may open connections of its own, and fails as one.
            raise
        target = _database_of(attempted[-1])
        # Its words alone: a traceback would quote what was sent.
        raise DatabaseUnreachable(target, _reason(why, configured_dsn, target)) from None
    finally:
        event.remove(Engine, "do_connect", on_connection_attempt)
        event.remove(Engine, "engine_connect", on_connected)


def _reason(why: BaseException, configured_dsn: str, target: str) -> str:
    advice = (
        "check that it runs, and its address, role and password"
        if target == describe_database(configured_dsn)
        else f"the project's env.py connects there, though it was told {describe_database(configured_dsn)}: let it read"
        " sqlalchemy.url of its configuration, or name the environment variable that it reads (--url-variable)"
    )
    return f"{clause(' '.join(safe_message(why).split()))}; {advice}"


def _database_of(parameters: Mapping[str, Any]) -> str:
    """The database that a driver was to connect to; drivers call it by two names."""
    name = parameters.get("dbname") or parameters.get("database") or ""
    return f"{name} on {parameters.get('host') or 'localhost'}:{parameters.get('port') or 5432}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DBAPIError) and seen.orig is not None:
            yield seen.orig
        yield seen
        seen = seen.__cause__ or seen.__context__


def _is_of_a_driver(error: BaseException) -> bool:
    """Whether a driver, or the system beneath it, has raised it."""
    return isinstance(error, OSError) or sqlstate_of(error) is not None or _is_dbapi(error)


def _is_dbapi(error: BaseException) -> bool:
    return any(one.__name__ == "OperationalError" and "sqlalchemy" not in one.__module__ for one in type(error).__mro__)
