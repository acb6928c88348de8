"""Applies revisions: one transaction each, never waiting long for a lock, never half-done."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psycopg
from sqlalchemy.exc import DBAPIError

from migrations import applied
from migrations.attempt import Applied, MigratingSession, Order
from migrations.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    HistoryUnreadable,
    LockBudgetExceeded,
    MigrationError,
    NotKept,
    OutOfStep,
    RevisionFailed,
    is_cut,
    place,
)
from migrations.history import History, current_revisions
from migrations.locks import migration_lock, one_migration
from migrations.project import history_for
from migrations.trace import Trace

__all__ = ["Applied", "Progress", "downgrade", "upgrade"]

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3.0
ADVISORY_WAIT_S = 5.0

_INVALID_INDEXES = """
SELECT format('invalid index %I.%I', n.nspname, c.relname) FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' ORDER BY 1
"""


@dataclass(frozen=True)
class Progress:
    """What happened to a revision.

    Attributes:
        kind: `applied`, or `lock timeout` (it will be tried again).
        revision: its id.
        attempt: which try it was.
        elapsed_s: seconds since its first try.
    """

    kind: Literal["applied", "lock timeout"]
    revision: str
    attempt: int
    elapsed_s: float


OnEvent = Callable[[Progress], None]


def upgrade(
    dsn: str,
    history: History,
    *,
    target: str = "head",
    release_id: str,
    lock_timeout_ms: int = 100,
    budget_s: float = 60.0,
    on_event: OnEvent | None = None,
    record: bool = True,
    advisory_wait_s: float = ADVISORY_WAIT_S,
    trace: Trace | None = None,
) -> tuple[Applied, ...]:
    """Apply what is missing up to a revision. Those that were applied before a failure stand.

    Args:
        dsn: direct connection string of the owner.
        history: the revisions.
        target: `head`, `heads`, or a revision.
        release_id: in whose name; it is recorded.
        lock_timeout_ms: milliseconds that a statement waits for a lock, and all that come after it for the statement.
        budget_s: seconds that a revision may be tried again while others hold its locks.
        on_event: told of each revision and of each try that got no lock.
        record: whether to keep a record in the database.
        advisory_wait_s: seconds to wait for another migration's end.
        trace: told of every statement, while it runs.

    Returns:
        What was applied, in order; empty where nothing was missing.

    Raises:
        AdvisoryLockHeld, DatabaseUnreachable: nothing, or nothing more, was applied; trying again may help.
        LockBudgetExceeded: others held a table for too long; they are named.
        RevisionFailed: a revision raised; it was rolled back.
        OutOfStep: a revision stands that the history lacks.
        UnknownRevision, SeveralHeads, HistoryUnreadable: the history does not lead to the target.
        WorksElsewhere, NotKept: the env.py of a project that is not ours connects elsewhere, or does not commit.

    Locks: those of the revisions, each until its transaction ends; a session advisory lock.
    """
    history = history_for(dsn, history)
    targets = history.targets(target)
    if changed := history.changed_files():
        raise HistoryUnreadable(history.folders, f"{', '.join(changed)} changed after the plan was read")
    done: tuple[Applied, ...] = ()
    with one_migration(), migration_lock(dsn, wait_s=advisory_wait_s) as watch:
        stands = _standing(watch, dsn, history)
        kept = _records(watch, dsn, record=record and history.environment is None)
        for one in targets:
            if not history.path_to(one, stands):
                continue
            order = Order(history, one, True, release_id, kept, lock_timeout_ms)
            done += _Run(dsn, watch, order, budget_s, on_event, trace).walk()
            stands = _standing(watch, dsn, history)
        if missing := history.path_to(targets, stands):
            raise NotKept(place(dsn), [one.id for one in missing])
    return done


def downgrade(
    dsn: str,
    history: History,
    target: str,
    *,
    release_id: str = "downgrade",
    lock_timeout_ms: int = 100,
    budget_s: float = 60.0,
    on_event: OnEvent | None = None,
    advisory_wait_s: float = ADVISORY_WAIT_S,
    trace: Trace | None = None,
) -> tuple[Applied, ...]:
    """Take away what stands above a revision, newest first.

    Args:
        dsn: direct connection string of the owner.
        history: the revisions.
        target: the revision to stand at afterwards, or `base`.
        release_id: in whose name.
        lock_timeout_ms: milliseconds that a statement waits for a lock.
        budget_s: seconds that a revision may be tried again while others hold its locks.
        on_event: told of each revision and of each try that got no lock.
        advisory_wait_s: seconds to wait for another migration's end.
        trace: told of every statement, while it runs.

    Returns:
        What was taken away, in order.

    Raises:
        MigrationError: as `upgrade` does.

    Locks: those of the revisions, each until its transaction ends; a session advisory lock.
    """
    history = history_for(dsn, history)
    resolved = target if target == "base" else history.resolve(target)
    with one_migration(), migration_lock(dsn, wait_s=advisory_wait_s) as watch:
        stands = _standing(watch, dsn, history)
        if resolved in stands or not stands:
            return ()
        if resolved != "base" and resolved not in history.path_ids(stands):
            raise OutOfStep(place(dsn), stands, f"{resolved} is not below it")
        order = Order(
            history,
            resolved,
            False,
            release_id,
            _records(watch, dsn, record=history.environment is None),
            lock_timeout_ms,
        )
        return _Run(dsn, watch, order, budget_s, on_event, trace).walk()


def _standing(session: psycopg.Connection, dsn: str, history: History) -> tuple[str, ...]:
    try:
        stands = current_revisions(session, history.version_table)
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "reading alembic_version", error) from error
    if unknown := [revision for revision in stands if revision not in history]:
        raise OutOfStep(place(dsn), stands, f"this history has no {', '.join(unknown)}; take the commit that has it")
    return stands


def _records(session: psycopg.Connection, dsn: str, *, record: bool) -> bool:
    if not record:
        return False
    try:
        kept = applied.ensure_table(session)
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "making the table of applied revisions", error) from error
    if not kept:
        log.warning("no record of applied revisions is kept on %s: the role may not create a schema", place(dsn))
    return kept


class _Run:
    """A walk along the history on one session, tried again where locks are held, until the budget is spent."""

    def __init__(
        self,
        dsn: str,
        watch: psycopg.Connection,
        order: Order,
        budget_s: float,
        on_event: OnEvent | None,
        trace: Trace | None,
    ) -> None:
        self._trace = trace
        self._dsn = dsn
        self._watch = watch
        self._order = order
        self._budget_s = budget_s
        self._on_event = on_event
        self._done: list[Applied] = []
        self._begin_revision()

    def _begin_revision(self) -> None:
        self._attempts, self._first_try = 1, time.monotonic()

    def walk(self) -> tuple[Applied, ...]:
        session = MigratingSession(self._dsn, self._watch, self._order, self._trace)
        try:
            while True:
                try:
                    session.run(self._applied)
                    return tuple(self._done)
                except Exception as error:
                    self._pause_or_raise(session, error)
        finally:
            session.close()

    def _applied(self, revision: str, duration_ms: int) -> None:
        message = self._order.history.revision(revision).message
        self._done.append(Applied(revision, message, duration_ms, self._attempts, self._order.record))
        log.info("%s %s in %d ms", "applied" if self._order.up else "took away", revision, duration_ms)
        self._tell("applied", revision)
        self._begin_revision()

    def _pause_or_raise(self, session: MigratingSession, error: Exception) -> None:
        """Wait before the next try where a lock was not to be had; everything else ends the walk."""
        driver = _driver_error(error)
        revision = session.attempt.revision
        if driver is not None and is_cut(driver):
            raise DatabaseUnreachable.of(self._dsn, driver) from error
        if isinstance(error, MigrationError):
            raise error
        if revision is None:
            raise self._before_any(error, driver) from error
        contended = isinstance(driver, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)
        if not contended or session.attempt.outside:
            raise self._failed(session, revision, error, driver) from error
        spent = time.monotonic() - self._first_try
        self._tell("lock timeout", revision)
        if spent >= self._budget_s:
            raise LockBudgetExceeded(revision, self._budget_s, self._attempts, session.watch.blockers) from error
        longest = min(LONGEST_PAUSE_S, self._order.lock_timeout_ms / 1000 * 2**self._attempts)
        pause = random.uniform(0, min(longest, self._budget_s - spent))  # noqa: S311
        log.info("%s got no lock (try %d); again in %.2f s", revision, self._attempts, pause)
        time.sleep(pause)
        self._attempts += 1

    def _before_any(self, error: Exception, driver: psycopg.Error | None) -> MigrationError:
        if driver is not None:
            return DatabaseRefused.of(self._dsn, "reading alembic_version", driver)
        return HistoryUnreadable(self._order.history.folders, f"{type(error).__name__}: {error}")

    def _failed(
        self, session: MigratingSession, revision: str, error: Exception, driver: psycopg.Error | None
    ) -> RevisionFailed:
        left = [f"what this did: {statement}" for statement in session.attempt.stands]
        if session.attempt.outside:
            left += self._invalid_indexes()
        message = driver.diag.message_primary if driver else None
        return RevisionFailed(
            revision,
            sqlstate=driver.sqlstate if driver else None,
            statement=error.statement if isinstance(error, DBAPIError) else None,
            message=message or (str(driver) if driver else f"{type(error).__name__}: {error}"),
            left_behind=left,
        )

    def _invalid_indexes(self) -> list[str]:
        try:
            return [str(row[0]) for row in self._watch.execute(_INVALID_INDEXES)]
        except psycopg.Error as error:
            return [f"indexes that could not be looked at ({error})"]

    def _tell(self, kind: Literal["applied", "lock timeout"], revision: str) -> None:
        if self._on_event is not None:
            self._on_event(Progress(kind, revision, self._attempts, time.monotonic() - self._first_try))


def _driver_error(error: BaseException) -> psycopg.Error | None:
    if isinstance(error, DBAPIError):
        return error.orig if isinstance(error.orig, psycopg.Error) else None
    return error if isinstance(error, psycopg.Error) else None
