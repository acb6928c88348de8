"""What a revision does on the driver's own connection, such as COPY or a commit: SQLAlchemy tells nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus


class PipelineUsed(Exception):
    """A revision works in a pipeline of psycopg, whose answers come later than they are asked for."""

    def __init__(self) -> None:
        super().__init__(
            "in a pipeline of psycopg it cannot be kept how far the revision has come; nothing of the pipeline was"
            " sent: send its statements one after the other, or many values with executemany()"
        )


@dataclass(frozen=True)
class Around:
    """What is put around what a connection does.

    Attributes:
        statement: called with each statement; it is in force while the statement runs.
        committing: called before a transaction is committed.
        not_committed: called where that failed.
        rolled_back: called when a transaction was rolled back.
    """

    statement: Callable[[psycopg.Connection, str], AbstractContextManager[None]]
    committing: Callable[[psycopg.Connection], None]
    not_committed: Callable[[], None]
    rolled_back: Callable[[psycopg.Connection], None]


class _Watched(psycopg.Cursor[Any]):
    """A cursor of any of psycopg's kinds, around whose statements something is put."""

    around: ClassVar[Around]

    def _sending(self, query: Any) -> AbstractContextManager[None]:
        return self.around.statement(self.connection, _text(self, query))

    def execute(self, query: Any, *rest: Any, **options: Any) -> Any:
        with self._sending(query):
            return super().execute(query, *rest, **options)

    def executemany(self, query: Any, *rest: Any, **options: Any) -> None:
        with self._sending(query):
            super().executemany(query, *rest, **options)

    def stream(self, query: Any, *rest: Any, **options: Any) -> Iterator[Any]:
        with self._sending(query):
            yield from super().stream(query, *rest, **options)

    @contextmanager
    def copy(self, statement: Any, *rest: Any, **options: Any) -> Generator[psycopg.Copy]:
        with self._sending(statement), super().copy(statement, *rest, **options) as copy:
            yield copy


def is_watched(session: Any) -> bool:
    """Whether it is known of a driver's connection what it does on its own."""
    return isinstance(session, psycopg.Connection) and issubclass(cast("Any", session).cursor_factory, _Watched)


def watch_raw(session: Any, around: Around) -> None:
    """Put something around all that is done on a connection of the driver, by whomever.

    Args:
        session: the driver's connection; one of another driver than psycopg is left alone.
        around: what is put around it.
    """
    if not isinstance(session, psycopg.Connection) or is_watched(session):
        return
    watched: Any = cast("psycopg.Connection[Any]", session)
    commit, rollback = watched.commit, watched.rollback
    for factory in ("cursor_factory", "server_cursor_factory"):
        setattr(watched, factory, type("Watched", (_Watched, getattr(watched, factory)), {"around": around}))

    def committed() -> None:
        with _telling_of_failure(around):
            around.committing(watched)
            commit()

    def rolled_back() -> None:
        rollback()
        around.rolled_back(watched)

    watched.commit, watched.rollback, watched.transaction = committed, rolled_back, _transactions(watched, around)


def _transactions(session: Any, around: Around) -> Callable[..., AbstractContextManager[psycopg.Transaction]]:
    """What stands for a connection's own `transaction()`."""
    transaction = session.transaction

    @contextmanager
    def in_transaction(*args: Any, **options: Any) -> Generator[psycopg.Transaction]:
        # Within another one it is a savepoint, which ends with that.
        is_outermost = session.info.transaction_status == TransactionStatus.IDLE
        with _telling_of_failure(around), transaction(*args, **options) as given:
            try:
                yield given
            except BaseException:
                if is_outermost:
                    around.rolled_back(session)
                raise
            if is_outermost and not given.force_rollback:
                around.committing(session)

    return in_transaction


@contextmanager
def _telling_of_failure(around: Around) -> Generator[None]:
    try:
        yield
    except BaseException:
        around.not_committed()
        raise


def refuse_pipeline(session: Any) -> None:
    """Refuse to go on in a pipeline.

    Raises:
        PipelineUsed: the connection is in one.
    """
    if isinstance(session, psycopg.Connection) and session.pgconn.pipeline_status != PipelineStatus.OFF:
        raise PipelineUsed


def own_cursor(session: Any) -> Any:
    """A cursor of a connection around whose statements nothing is put."""
    if not isinstance(session, psycopg.Connection):
        return session.cursor()
    return psycopg.Cursor(cast("psycopg.Connection[Any]", session))


def _text(cursor: psycopg.Cursor[Any], query: Any) -> str:
    if isinstance(query, str):
        return query
    return query.decode() if isinstance(query, bytes) else str(query.as_string(cursor))
