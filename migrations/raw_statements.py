"""Statements that a revision sends on the driver's own connection, such as COPY: SQLAlchemy tells nothing of them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import psycopg

Around = Callable[[psycopg.Connection, str], AbstractContextManager[None]]


def watch_raw_statements(session: Any, around: Around) -> None:
    """Put something around each statement that is sent through a cursor of a connection's own.

    Args:
        session: the driver's connection; one of another driver is left alone.
        around: called with the connection and the statement; it is in force while the statement runs.
    """
    if not isinstance(session, psycopg.Connection):
        return

    class Watched(psycopg.Cursor[Any]):
        def execute(self, query: Any, *rest: Any, **options: Any) -> Any:
            with around(self.connection, _text(self, query)):
                return super().execute(query, *rest, **options)

        def executemany(self, query: Any, *rest: Any, **options: Any) -> None:
            with around(self.connection, _text(self, query)):
                super().executemany(query, *rest, **options)

        @contextmanager
        def copy(self, statement: Any, *rest: Any, **options: Any) -> Generator[psycopg.Copy]:
            with around(self.connection, _text(self, statement)), super().copy(statement, *rest, **options) as copy:
                yield copy

    session.cursor_factory = Watched


def own_cursor(session: Any) -> Any:
    """A cursor of a connection around whose statements nothing is put."""
    if not isinstance(session, psycopg.Connection):
        return session.cursor()
    return psycopg.Cursor(cast("psycopg.Connection[Any]", session))


def _text(cursor: psycopg.Cursor[Any], query: Any) -> str:
    if isinstance(query, str):
        return query
    return query.decode() if isinstance(query, bytes) else str(query.as_string(cursor))
