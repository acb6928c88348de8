"""Hooks on the driver's own connection: what a revision does there, such as COPY or COMMIT, SQLAlchemy does not see."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus


class RawUseRefused(Exception):
    """A revision uses the driver in a way of which it cannot be kept how far the revision has come."""


class PipelineUsed(RawUseRefused):
    """A revision works in a pipeline of psycopg, whose answers come later than they are asked for."""

    def __init__(self) -> None:
        super().__init__(
            "in a pipeline of psycopg it cannot be kept how far the revision has come; nothing of the pipeline was"
            " sent: send its statements one after the other, or many values with executemany()"
        )


class MadePastConnection(RawUseRefused):
    """A revision commits through a cursor or transaction of psycopg that it has made past the connection's methods."""

    def __init__(self) -> None:
        super().__init__(
            "with a cursor or a transaction that is made past the connection, such as psycopg.Cursor(connection), it "
            "cannot be kept what was committed; nothing of it was sent: use connection.cursor() and "
            "connection.transaction()"
        )


@dataclass(frozen=True)
class RawConnectionHooks:
    """What is called for the statements, commits and rollbacks of a connection.

    Attributes:
        around_statement: gives a context for each statement, which is entered before it and left after it; it is
            given what tells the statement's text.
        before_commit: called before a transaction is committed.
        on_commit_failure: called where the commit failed.
        after_rollback: called after a transaction was rolled back.
        after_rollback_to: called where it goes back to a savepoint of the driver's.
        before_unhooked: called before a statement of a cursor or transaction that calls no hooks, or refuses it; it
            may send nothing on the connection.
    """

    around_statement: Callable[[psycopg.Connection, Callable[[], str]], AbstractContextManager[None]]
    before_commit: Callable[[psycopg.Connection], None]
    on_commit_failure: Callable[[], None]
    after_rollback: Callable[[psycopg.Connection], None]
    after_rollback_to: Callable[[], None]
    before_unhooked: Callable[[psycopg.Connection, str], None]


class _HookedCursor(psycopg.Cursor[Any]):
    """A cursor of any of psycopg's kinds that calls the hooks around its statements."""

    hooks: ClassVar[RawConnectionHooks]

    def _hooked(self, query: Any) -> AbstractContextManager[None]:
        return self.hooks.around_statement(self.connection, partial(_text, self, query))

    def execute(self, query: Any, *rest: Any, **options: Any) -> Any:
        with self._hooked(query):
            return super().execute(query, *rest, **options)

    def executemany(self, query: Any, *rest: Any, **options: Any) -> None:
        with self._hooked(query):
            super().executemany(query, *rest, **options)

    def stream(self, query: Any, *rest: Any, **options: Any) -> Iterator[Any]:
        with self._hooked(query):
            yield from super().stream(query, *rest, **options)

    @contextmanager
    def copy(self, statement: Any, *rest: Any, **options: Any) -> Generator[psycopg.Copy]:
        with self._hooked(statement), super().copy(statement, *rest, **options) as copy:
            yield copy


class _UnhookedCursor(psycopg.Cursor[Any]):
    """A cursor that calls no hooks, and prepares nothing: each DDL would make psycopg give that up again."""

    def execute(self, query: Any, *rest: Any, **options: Any) -> Any:
        return super().execute(query, *rest, prepare=False, **options)


def has_hooks(session: Any) -> bool:
    """Whether hooks are installed on a driver's connection."""
    return isinstance(session, psycopg.Connection) and issubclass(cast("Any", session).cursor_factory, _HookedCursor)


def install_hooks(session: Any, hooks: RawConnectionHooks) -> None:
    """Install hooks for everything that is done on a connection of the driver, by whomever.

    Args:
        session: the driver's connection; one of another driver than psycopg is left alone.
        hooks: what is called.
    """
    if not isinstance(session, psycopg.Connection) or has_hooks(session):
        return
    connection: Any = cast("psycopg.Connection[Any]", session)
    commit, rollback = connection.commit, connection.rollback
    in_hooked: list[None] = []
    for factory in ("cursor_factory", "server_cursor_factory"):
        setattr(
            connection, factory, type("HookedCursor", (_HookedCursor, getattr(connection, factory)), {"hooks": hooks})
        )

    def commit_with_hooks() -> None:
        with _reporting_failed_commit(hooks):
            hooks.before_commit(connection)
            commit()

    def rollback_with_hooks() -> None:
        rollback()
        hooks.after_rollback(connection)

    connection.commit, connection.rollback, connection.transaction = (
        commit_with_hooks,
        rollback_with_hooks,
        _hooked_transaction(connection, hooks, in_hooked),
    )
    connection.tpc_prepare, connection.tpc_commit = (
        _hooked_two_phases(connection, hooks, end) for end in (connection.tpc_prepare, connection.tpc_commit)
    )
    connection.wait = _hooked_wait(connection, hooks, in_hooked)


def _hooked_two_phases(session: Any, hooks: RawConnectionHooks, end: Callable[..., None]) -> Callable[..., None]:
    """What ends a transaction of two phases, or makes it last; calls the hooks where it does so with an open one."""

    def end_with_hooks(*args: Any) -> None:
        with _reporting_failed_commit(hooks):
            if session.info.transaction_status == TransactionStatus.INTRANS:
                hooks.before_commit(session)
            end(*args)

    return end_with_hooks


def _hooked_wait(session: Any, hooks: RawConnectionHooks, in_hooked: list[None]) -> Callable[..., Any]:
    """A `wait()`, through which all goes that is sent: it tells of cursors and transactions made past the connection.

    Source: psycopg hands each of its own generators to it, whose `self` is the cursor or the transaction, and whose
    `query` or `statement` is what it sends. The connection's lock is held meanwhile, so nothing can be asked on it.
    """
    wait = session.wait

    def wait_with_hooks(sending: Any, *rest: Any, **options: Any) -> Any:
        given = inspect.getgeneratorlocals(sending) if inspect.isgenerator(sending) else {}
        sender: Any = given.get("self")
        if isinstance(sender, psycopg.Cursor) and not isinstance(sender, _HookedCursor | _UnhookedCursor):
            if query := given.get("query", given.get("statement")):
                hooks.before_unhooked(session, _text(cast("Any", sender), query))
        elif isinstance(sender, psycopg.Transaction) and not in_hooked and is_idle(session):
            # Within another one it is a savepoint, which ends with that.
            hooks.before_unhooked(session, "COMMIT")
        return wait(sending, *rest, **options)

    return wait_with_hooks


def _hooked_transaction(
    session: Any, hooks: RawConnectionHooks, in_hooked: list[None]
) -> Callable[..., AbstractContextManager[psycopg.Transaction]]:
    """A `transaction()` that calls the hooks, in place of the connection's own."""
    transaction = session.transaction

    @contextmanager
    def in_transaction(*args: Any, **options: Any) -> Generator[psycopg.Transaction]:
        # Within another one it is a savepoint, which ends with that.
        is_outermost = is_idle(session)
        with _reporting_failed_commit(hooks), _noted(in_hooked), transaction(*args, **options) as given:
            try:
                yield given
            except BaseException:
                _rolled_back(session, hooks, is_outermost=is_outermost)
                raise
            if given.force_rollback:
                _rolled_back(session, hooks, is_outermost=is_outermost)
            elif is_outermost:
                hooks.before_commit(session)

    return in_transaction


def _rolled_back(session: psycopg.Connection, hooks: RawConnectionHooks, *, is_outermost: bool) -> None:
    if is_outermost:
        hooks.after_rollback(session)
    else:
        hooks.after_rollback_to()


@contextmanager
def _noted(in_hooked: list[None]) -> Generator[None]:
    in_hooked.append(None)
    try:
        yield
    finally:
        in_hooked.pop()


@contextmanager
def _reporting_failed_commit(hooks: RawConnectionHooks) -> Generator[None]:
    try:
        yield
    except BaseException:
        hooks.on_commit_failure()
        raise


def is_idle(session: psycopg.Connection) -> bool:
    """Whether a connection is in no transaction."""
    return session.info.transaction_status == TransactionStatus.IDLE


def refuse_pipeline(session: Any) -> None:
    """Refuse to go on in a pipeline.

    Raises:
        PipelineUsed: the connection is in one.
    """
    if isinstance(session, psycopg.Connection) and session.pgconn.pipeline_status != PipelineStatus.OFF:
        raise PipelineUsed


def unhooked_cursor(session: Any) -> Any:
    """A cursor of a connection whose statements call no hooks."""
    if not isinstance(session, psycopg.Connection):
        return session.cursor()
    return _UnhookedCursor(cast("psycopg.Connection[Any]", session))


def _text(cursor: psycopg.Cursor[Any], query: Any) -> str:
    if isinstance(query, str):
        return query
    return query.decode() if isinstance(query, bytes) else str(query.as_string(cursor))
