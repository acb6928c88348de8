"""Where a foreign env.py has tried to connect to and did not get in, whatever driver it takes and wherever it goes."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from migrations.disclosure.server_messages import sqlstate_of, worded
from migrations.errors import DatabaseUnreachable, MigrationError, place


@contextmanager
def knocks_told(told: str) -> Generator[None]:
    """Let an error that ends the block be told as a database that is not reached, where nothing was let in before.

    Args:
        told: connection string that env.py was told.

    Raises:
        DatabaseUnreachable: names the database that env.py went to, and what to do.
    """
    thread = threading.get_ident()
    tried: list[Mapping[str, Any]] = []
    let_in: list[bool] = []

    def knocks(dialect: object, record: object, given: object, parameters: Mapping[str, Any]) -> None:
        del dialect, record, given
        if threading.get_ident() == thread:
            tried.append(parameters)

    def is_in(connection: object) -> None:
        del connection
        if threading.get_ident() == thread:
            let_in.append(True)

    event.listen(Engine, "do_connect", knocks)
    event.listen(Engine, "engine_connect", is_in)
    try:
        yield
    except MigrationError:
        raise
    except Exception as error:
        why = next((one for one in _chain(error) if _is_of_a_driver(one)), None)
        if not tried or let_in or why is None:
            # A revision may open connections of its own, and fails as one.
            raise
        went_to = _place(tried[-1])
        # Its words alone: a traceback would quote what was sent.
        raise DatabaseUnreachable(went_to, _reason(why, told, went_to)) from None
    finally:
        event.remove(Engine, "do_connect", knocks)
        event.remove(Engine, "engine_connect", is_in)


def _reason(why: BaseException, told: str, went_to: str) -> str:
    advice = (
        "check that it runs, and its address, role and password"
        if went_to == place(told)
        else f"the project's env.py connects there, though it was told {place(told)}: let it read sqlalchemy.url of its"
        " configuration, or name the environment variable that it reads (--url-variable)"
    )
    return f"{' '.join(worded(why).split())}; {advice}"


def _place(parameters: Mapping[str, Any]) -> str:
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
