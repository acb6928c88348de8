"""What a backfill is told of where it runs, and what it tells of how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection

from migrations.backfill.pace import Limits
from migrations.errors import Session
from migrations.history.overwritten import Part


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


class OnBackfill(Protocol):
    """Told of progress after each batch, and now and then while a backfill waits."""

    def __call__(self, progress: BackfillProgress, /) -> None:
        """Take note; what this raises ends the backfill between two batches."""
        ...


_hears: ContextVar[OnBackfill | None] = ContextVar("told of backfills", default=None)


@contextmanager
def reporting(told: OnBackfill) -> Generator[None]:
    """Tell somebody of the backfills that run meanwhile in this thread.

    Args:
        told: told of progress.
    """
    token = _hears.set(told)
    try:
        yield
    finally:
        _hears.reset(token)


def tell(progress: BackfillProgress) -> None:
    """Tell whoever listens."""
    told = _hears.get()
    if told is not None:
        told(progress)


@dataclass(frozen=True)
class Surroundings:
    """What a backfill gets from who applies revisions, as `config.attributes["backfill"]`; without it, it does alone.

    Attributes:
        dsn: direct connection string, for a session that looks at the database; None to take the revision's.
        lock_timeout_ms: milliseconds that a statement of a batch waits for a lock.
        budget_s: seconds that a batch is tried again while others hold its locks.
        limits: what it keeps to.
        listeners: what is called, by the names of SQLAlchemy's events, so that a backfill counts as one statement.
        locked: called in each batch before it lets its locks go, with the rows that it went over.
        blockers: who was last seen to make it wait.
    """

    dsn: str | None = None
    lock_timeout_ms: int = 100
    budget_s: float = 60.0
    limits: Limits = field(default_factory=Limits)
    listeners: Mapping[str, Callable[..., object]] = field(default_factory=dict[str, Callable[..., object]])
    locked: Callable[[Part], None] | None = None
    blockers: Callable[[], Sequence[Session]] = tuple

    @contextmanager
    def as_one_statement(self, connection: Connection, statement: str, changed: Callable[[], int]) -> Generator[None]:
        """Let a backfill count as one statement, whatever it sends.

        Args:
            connection: the revision's.
            statement: what stands for the whole.
            changed: tells in the end how many rows were changed.
        """
        self._call("before_cursor_execute", connection, None, statement, None)
        try:
            yield
        except BaseException as error:
            self._call("handle_error", _Failure(error))
            raise
        self._call("after_cursor_execute", connection, _Changed(changed()))

    def _call(self, event: str, *given: object) -> None:
        listener = self.listeners.get(event)
        if listener is not None:
            listener(*given)


@dataclass(frozen=True)
class _Failure:
    """What SQLAlchemy tells of an error, as far as a backfill knows it."""

    original_exception: BaseException
    is_disconnect: bool = False
    connection: Connection | None = None


@dataclass(frozen=True)
class _Changed:
    """What a cursor tells of the rows that it changed."""

    rowcount: int
