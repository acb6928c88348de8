"""The context that a backfill runs in, and the progress that it reports."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection

from migrations.backfill.throttle import ThrottleLimits
from migrations.errors import Session
from migrations.history.overwritten_values import BatchRows


@dataclass(frozen=True)
class BackfillProgress:
    """How far a backfill has come.

    Attributes:
        revision: whose it is.
        table: the table, with its schema.
        passed: rows that it has gone over.
        changed: rows that it has changed.
        total: rows of the table by the planner's estimate; never less than `passed`.
        rate: rows a second since it began, or went on; 0.0 where nothing can be said.
        remaining_s: seconds that are left at that rate; None where that cannot be said.
        waiting: why it does not go on; empty where it does.
        finished: whether it has gone over all rows.
    """

    revision: str
    table: str
    passed: int
    changed: int
    total: int
    rate: float
    remaining_s: float | None
    waiting: str = ""
    finished: bool = False

    @property
    def share(self) -> float:
        """How much is done, from 0.0 to 1.0."""
        return 1.0 if self.finished else min(self.passed / self.total, 1.0) if self.total else 0.0

    def __str__(self) -> str:
        parts = [f"{self.table} in {self.revision}: {self.passed} of {self.total} rows ({self.share:.0%})"]
        if self.rate > 0:
            parts.append(f"{self.rate:.0f} rows/s")
        if self.remaining_s is not None and not self.finished:
            parts.append(f"{timedelta(seconds=round(self.remaining_s))} left")
        return "; ".join((*parts, self.waiting) if self.waiting else parts)


class BackfillListener(Protocol):
    """Called with the progress after each batch, and now and then while a backfill waits."""

    def __call__(self, progress: BackfillProgress, /) -> None:
        """Take note; what this raises ends the backfill between two batches."""
        ...


_listener: ContextVar[BackfillListener | None] = ContextVar("backfill listener", default=None)


@contextmanager
def reporting_progress(listener: BackfillListener) -> Generator[None]:
    """Report the progress of backfills that run meanwhile in this thread.

    Args:
        listener: called with each progress.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_progress(progress: BackfillProgress) -> None:
    """Call the listener of this thread, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(progress)


@dataclass(frozen=True)
class BackfillContext:
    """What apply hands to a backfill, as `config.attributes["backfill"]`; with plain Alembic the defaults hold.

    Attributes:
        dsn: direct connection string for the session that measures the load; None to take the revision's.
        lock_timeout_ms: milliseconds that a statement of a batch waits for a lock.
        budget_s: seconds that a batch is tried again while others hold its locks.
        limits: limits of its batches and of the load.
        listeners: what is called, by the names of SQLAlchemy's events, so that a backfill counts as one statement.
        before_batch_commit: called in each batch before its COMMIT, with the rows that it went over.
        blockers: the sessions that were last seen to block it.
    """

    dsn: str | None = None
    lock_timeout_ms: int = 100
    budget_s: float = 60.0
    limits: ThrottleLimits = field(default_factory=ThrottleLimits)
    listeners: Mapping[str, Callable[..., object]] = field(default_factory=dict[str, Callable[..., object]])
    before_batch_commit: Callable[[BatchRows], None] | None = None
    blockers: Callable[[], Sequence[Session]] = tuple

    @contextmanager
    def counted_as_one_statement(
        self, connection: Connection, statement: str, changed: Callable[[], int]
    ) -> Generator[None]:
        """Report a backfill to the listeners as one statement, whatever statements it sends.

        Args:
            connection: the revision's connection.
            statement: the text that is reported.
            changed: called in the end; returns how many rows were changed.
        """
        self._call("before_cursor_execute", connection, None, statement, None)
        try:
            yield
        except BaseException as error:
            self._call("handle_error", _Failure(error))
            raise
        self._call("after_cursor_execute", connection, _ChangedRows(changed()))

    def _call(self, event: str, *given: object) -> None:
        listener = self.listeners.get(event)
        if listener is not None:
            listener(*given)


@dataclass(frozen=True)
class _Failure:
    """The part of SQLAlchemy's ExceptionContext that the listeners read."""

    original_exception: BaseException
    is_disconnect: bool = False
    connection: Connection | None = None


@dataclass(frozen=True)
class _ChangedRows:
    """The part of a cursor that the listeners read."""

    rowcount: int
