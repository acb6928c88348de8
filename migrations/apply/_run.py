"""One run along the history on one session: where locks are held it is tried again, until the budget is spent."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from migrations.apply._autocommit import AutocommitStatements
from migrations.apply._failures import cut, failed, failed_before_any, is_contended, is_ours
from migrations.apply._request import Applied, ApplyRequest
from migrations.apply._revision_session import MigratingSession
from migrations.apply.blocking_monitor import BlockingMonitor
from migrations.apply.lock_queue_guard import (
    END_IDLE_AFTER_S,
    HolderPolicy,
    LockHolder,
    LockQueueGuard,
    WouldQueue,
    quick_lock_check,
)
from migrations.apply.progress import Kind, OnEvent, Progress
from migrations.apply.resume_notes import ResumeNotes
from migrations.database.requested_locks import RequestedLocks
from migrations.database.trace import Trace
from migrations.disclosure.normalized_statements import normalized
from migrations.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    LockBudgetExceeded,
    Session,
)
from migrations.history import applied_revisions
from migrations.history.applied_revisions import Impact

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3.0


@dataclass(frozen=True)
class LockRetryPolicy:
    """How long to try for locks that others hold, and what to do about holders that sit idle.

    Attributes:
        budget_s: seconds that a revision may be tried again, or kept back, while others hold its locks.
        holder_policy: `wait`, or `end` for sessions that sit idle in a transaction.
        end_idle_after_s: seconds that such a session has sat before it is ended.
    """

    budget_s: float = 60.0
    holder_policy: HolderPolicy = "wait"
    end_idle_after_s: float = END_IDLE_AFTER_S


class ApplyRun:
    """One run of `upgrade` or `downgrade`, to one target.

    Args:
        dsn: direct connection string of the owner.
        session: holds the migration lock; in autocommit.
        request: what is to be applied.
        retry_policy: how long to wait for locks that others hold.
        on_event: told of what happens; of a build from a thread of its own.
        trace: told of every statement, while it runs.
    """

    def __init__(
        self,
        dsn: str,
        session: psycopg.Connection,
        request: ApplyRequest,
        retry_policy: LockRetryPolicy,
        on_event: OnEvent | None,
        trace: Trace | None,
    ) -> None:
        self._dsn, self._session, self._request, self._retry_policy = dsn, session, request, retry_policy
        self._on_event = on_event
        self._done: list[Applied] = []
        self._revision = ""
        self._monitor = BlockingMonitor(session, request.lock_timeout_ms, self._building)
        self._queue_guard = LockQueueGuard(
            session,
            long_s=request.lock_timeout_ms / 1000,
            holder_policy=retry_policy.holder_policy,
            end_idle_after_s=retry_policy.end_idle_after_s,
            on_end=self._session_ended,
        )
        notes = ResumeNotes(progress_notes=request.progress_notes, up=request.up)
        self._autocommit = AutocommitStatements(dsn, session, notes, self._monitor, self._resumed)
        self._impact_noted: Impact | None = None
        self._migrating = MigratingSession(
            dsn, self._monitor, request, self._gate, self._autocommit, self._impact, trace, session, self._pause
        )
        self._forget_last_revision()

    def _forget_last_revision(self) -> None:
        self._monitor.forget()
        self._attempts, self._first_try = 1, time.monotonic()
        self._waited_s = 0.0
        self._last_blockers: Sequence[Session] = ()
        self._ended: list[Session] = []

    def run(self) -> tuple[Applied, ...]:
        """Apply, or take away, until the target is reached.

        Raises:
            MigrationError: as `upgrade` and `downgrade` do.
        """
        try:
            while True:
                began = time.monotonic()
                try:
                    self._autocommit.notes.look(self._session)
                    self._migrating.run(self._applied)
                    return tuple(self._done)
                except Exception as error:
                    self._wait_or_raise(error)
                    self._waited_s += time.monotonic() - max(began, self._first_try)
        finally:
            self._migrating.close()
            self._monitor.close()
            self._autocommit.notes.tidy(self._session)

    def _applied(self, revision: str, duration_ms: int) -> None:
        message = self._request.history.revision(revision).message
        one = Applied(
            revision,
            message,
            duration_ms,
            self._attempts,
            self._request.record,
            round(self._waited_s * 1000),
            self._monitor.take(),
            tuple(self._ended),
        )
        self._done.append(one)
        if self._request.record and self._request.up:
            self._note_impact(one)
        log.info("%s %s in %d ms", "applied" if self._request.up else "took away", revision, duration_ms)
        self._tell("applied", revision)
        self._forget_last_revision()

    def _impact(self) -> Impact:
        """What the revision has cost until it is marked as applied."""
        self._impact_noted = Impact(self._attempts, round(self._waited_s * 1000), self._monitor.longest_ms)
        return self._impact_noted

    def _note_impact(self, one: Applied) -> None:
        impact = Impact(one.attempts, one.waited_ms, one.blocked_ms)
        if impact == self._impact_noted:
            return
        try:
            applied_revisions.record_impact(self._session, one.revision, impact)
        except psycopg.Error as error:
            log.warning("%s stands, but how long it made others wait is not kept: %s", one.revision, error)

    def _gate(self, requested: RequestedLocks, pid: int, in_autocommit: bool) -> bool:
        """Keep a statement back while somebody has held its locks for long; whether it stops others."""
        self._revision = self._migrating.attempt.revision or self._revision
        try:
            no_other_locks, stops_others = quick_lock_check(self._session, requested, pid)
            found = self._queue_guard.long_lock_holders(requested, pid, no_other_locks=no_other_locks)
            if found and not in_autocommit and not self._autocommit.notes.is_half_applied:
                raise WouldQueue(requested, pid, found)
            if found:
                # What stands outside a transaction cannot be taken back.
                self._wait_for(requested, pid)
        except psycopg.Error as error:
            if self._session.closed:
                raise DatabaseUnreachable.of(self._dsn, error) from error
            log.warning("who holds the locks of a statement cannot be told: %s", error)
            return requested.stops_others
        return stops_others

    def _wait_for(self, requested: RequestedLocks, pid: int) -> None:
        began = time.monotonic()
        until = self._first_try + self._retry_policy.budget_s
        try:
            is_free = self._queue_guard.wait(requested, pid, until=until, tell=self._tell_waiting)
        except psycopg.Error as error:
            raise DatabaseRefused.of(self._dsn, "looking for who holds a lock", error) from error
        if not is_free:
            raise self._exceeded()
        log.info("%s was kept back for %.2f s", self._revision, time.monotonic() - began)

    def _wait_or_raise(self, error: Exception) -> None:
        """Wait before the next try where a lock was not to be had; everything else ends the run."""
        attempt = self._migrating.attempt
        if isinstance(error, WouldQueue):
            self._wait_for(error.requested, error.pid)
            self._attempts += 1
            return
        if attempt.revision is None and isinstance(error, DatabaseUnreachable):
            # A foreign env.py may have gone elsewhere: the error names where.
            raise error
        if (gone := self._migrating.cut or cut(error)) is not None:
            self._autocommit.clean()
            raise DatabaseUnreachable.of(self._dsn, gone) from error
        if is_ours(error, self._request.history.folders):
            raise error
        if attempt.revision is None:
            # What it was raised from may hold a row, and every traceback would show it.
            raise failed_before_any(error, self._dsn, self._request.history.folders) from None
        left = self._autocommit.clean()
        if not is_contended(error) or self._autocommit.notes.is_half_applied:
            file = self._request.history.revision(attempt.revision).path
            # What it was raised from may hold a row, and every traceback would show it.
            raise failed(error, attempt, file, committed=self._autocommit.notes.committed, left=left) from None
        self._pause(error)

    def _exceeded(self) -> LockBudgetExceeded:
        notes = self._autocommit.notes
        committed = notes.committed if notes.is_half_applied else ()
        return LockBudgetExceeded(
            self._revision,
            self._retry_policy.budget_s,
            self._attempts,
            self._last_blockers,
            [normalized(one) for one in committed],
        )

    def _pause(self, error: Exception, pid: int = 0) -> None:
        """Wait a while, and then for whoever held the lock that was not to be had, but for `pid`, which asked."""
        spent = time.monotonic() - self._first_try
        revision = self._migrating.attempt.revision or self._revision
        self._revision, self._last_blockers = revision, tuple(self._monitor.blockers) or self._last_blockers
        self._tell("lock timeout", revision)
        if spent >= self._retry_policy.budget_s:
            raise self._exceeded() from error
        longest = min(LONGEST_PAUSE_S, self._request.lock_timeout_ms / 1000 * 2**self._attempts)
        pause = random.uniform(0, min(longest, self._retry_policy.budget_s - spent))  # noqa: S311
        log.info("%s got no lock (try %d); again in %.2f s", revision, self._attempts, pause)
        time.sleep(pause)
        self._wait_for(RequestedLocks(self._monitor.waited_for), pid)
        self._attempts += 1

    def _session_ended(self, holder: LockHolder) -> None:
        self._ended.append(holder.session)
        log.info("ended in the way of %s: %s, which held %s", self._revision, holder.session, holder.lock)
        if self._request.record:
            applied_revisions.record_ended_session(
                self._session, self._revision, self._request.release_id, holder.session
            )
        self._tell("ended", self._revision, (holder.session,), f"{holder.lock.mode} on {holder.lock.relation}")

    def _tell_waiting(self, found: Sequence[LockHolder]) -> None:
        self._last_blockers = tuple(one.session for one in found)
        held = ", ".join(sorted({f"{one.lock.mode} on {one.lock.relation}" for one in found}))
        self._tell("waiting", self._revision, self._last_blockers, held)

    def _resumed(self, what: str) -> None:
        revision = self._migrating.attempt.revision or self._revision
        log.info("%s: %s", revision, what)
        self._tell("resumed", revision, (), what)

    def _building(self, line: str) -> None:
        self._tell("building", self._migrating.attempt.revision or self._revision, (), line)

    def _tell(self, kind: Kind, revision: str, sessions: tuple[Session, ...] = (), detail: str = "") -> None:
        if self._on_event is not None:
            elapsed_s = time.monotonic() - self._first_try
            self._on_event(Progress(kind, revision, self._attempts, elapsed_s, sessions, detail))
