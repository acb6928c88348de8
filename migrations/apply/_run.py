"""A walk along the history on one session, tried again where locks are held, until the budget is spent."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from migrations.apply._autocommit import Outside
from migrations.apply._failures import cut, failed, failed_before_any, is_contended
from migrations.apply._request import Applied, Order
from migrations.apply._revision_session import MigratingSession
from migrations.apply.blockers import END_IDLE_AFTER_S, Approach, Holder, KeptBack, Policy, first_look
from migrations.apply.blocking_monitor import Watching
from migrations.apply.progress import Kind, OnEvent, Progress
from migrations.apply.resume_notes import Unfinished
from migrations.database.requested_locks import Wanted
from migrations.database.trace import Trace
from migrations.disclosure.statement_shapes import shape
from migrations.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    LockBudgetExceeded,
    MigrationError,
    Session,
)
from migrations.history import applied
from migrations.history.applied import Impact

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3.0


@dataclass(frozen=True)
class Patience:
    """How long to wait for others, and what to do about those who sit idle.

    Attributes:
        budget_s: seconds that a revision may be tried again, or kept back, while others hold its locks.
        policy: `wait`, or `end` for sessions that sit idle in a transaction.
        end_idle_after_s: seconds that such a session has sat before it is ended.
    """

    budget_s: float = 60.0
    policy: Policy = "wait"
    end_idle_after_s: float = END_IDLE_AFTER_S


class Run:
    """One walk.

    Args:
        dsn: direct connection string of the owner.
        session: holds the migration lock; in autocommit.
        order: what is to be done.
        patience: how long to wait for others.
        on_event: told of what happens; of a build from a thread of its own.
        trace: told of every statement, while it runs.
    """

    def __init__(
        self,
        dsn: str,
        session: psycopg.Connection,
        order: Order,
        patience: Patience,
        on_event: OnEvent | None,
        trace: Trace | None,
    ) -> None:
        self._dsn, self._session, self._order, self._patience = dsn, session, order, patience
        self._on_event = on_event
        self._done: list[Applied] = []
        self._revision = ""
        self._watch = Watching(session, order.lock_timeout_ms, self._building)
        self._approach = Approach(
            session,
            long_s=order.lock_timeout_ms / 1000,
            policy=patience.policy,
            end_idle_after_s=patience.end_idle_after_s,
            on_end=self._ended_one,
        )
        note = Unfinished(keeping=order.keeping, up=order.up)
        self._outside = Outside(dsn, session, note, self._watch, self._resumed)
        self._impact_noted: Impact | None = None
        self._migrating = MigratingSession(
            dsn, self._watch, order, self._gate, self._outside, self._impact, trace, session, self._pause
        )
        self._begin_revision()

    def _begin_revision(self) -> None:
        self._watch.forget()
        self._attempts, self._first_try = 1, time.monotonic()
        self._waited_s = 0.0
        self._in_the_way: Sequence[Session] = ()
        self._ended: list[Session] = []

    def walk(self) -> tuple[Applied, ...]:
        """Apply, or take away, until the target is reached.

        Raises:
            MigrationError: as `upgrade` and `downgrade` do.
        """
        try:
            while True:
                began = time.monotonic()
                try:
                    self._outside.note.look(self._session)
                    self._migrating.run(self._applied)
                    return tuple(self._done)
                except Exception as error:
                    self._wait_or_raise(error)
                    self._waited_s += time.monotonic() - max(began, self._first_try)
        finally:
            self._migrating.close()
            self._watch.close()
            self._outside.note.tidy(self._session)

    def _applied(self, revision: str, duration_ms: int) -> None:
        message = self._order.history.revision(revision).message
        one = Applied(
            revision,
            message,
            duration_ms,
            self._attempts,
            self._order.record,
            round(self._waited_s * 1000),
            self._watch.take(),
            tuple(self._ended),
        )
        self._done.append(one)
        if self._order.record and self._order.up:
            self._note_impact(one)
        log.info("%s %s in %d ms", "applied" if self._order.up else "took away", revision, duration_ms)
        self._tell("applied", revision)
        self._begin_revision()

    def _impact(self) -> Impact:
        """What the revision has cost until it is marked as applied."""
        self._impact_noted = Impact(self._attempts, round(self._waited_s * 1000), self._watch.longest_ms)
        return self._impact_noted

    def _note_impact(self, one: Applied) -> None:
        impact = Impact(one.attempts, one.waited_ms, one.blocked_ms)
        if impact == self._impact_noted:
            return
        try:
            applied.note_impact(self._session, one.revision, impact)
        except psycopg.Error as error:
            log.warning("%s stands, but how long it made others wait is not kept: %s", one.revision, error)

    def _gate(self, asked: Wanted, pid: int, outside: bool) -> bool:
        """Keep a statement back while somebody has held its locks for long; whether it stops others."""
        self._revision = self._migrating.attempt.revision or self._revision
        try:
            alone, stops_others = first_look(self._session, asked, pid)
            found = self._approach.in_the_way(asked, pid, alone=alone)
            if found and not outside and not self._outside.note.is_half:
                raise KeptBack(asked, pid, found)
            if found:
                # What stands outside a transaction cannot be taken back.
                self._wait_for(asked, pid)
        except psycopg.Error as error:
            if self._session.closed:
                raise DatabaseUnreachable.of(self._dsn, error) from error
            log.warning("who holds the locks of a statement cannot be told: %s", error)
            return asked.stops_others
        return stops_others

    def _wait_for(self, asked: Wanted, pid: int) -> None:
        began = time.monotonic()
        until = self._first_try + self._patience.budget_s
        try:
            is_free = self._approach.wait(asked, pid, until=until, tell=self._tell_waiting)
        except psycopg.Error as error:
            raise DatabaseRefused.of(self._dsn, "looking for who holds a lock", error) from error
        if not is_free:
            raise self._exceeded()
        log.info("%s was kept back for %.2f s", self._revision, time.monotonic() - began)

    def _wait_or_raise(self, error: Exception) -> None:
        """Wait before the next try where a lock was not to be had; everything else ends the walk."""
        attempt = self._migrating.attempt
        if isinstance(error, KeptBack):
            self._wait_for(error.asked, error.pid)
            self._attempts += 1
            return
        if attempt.revision is None and isinstance(error, DatabaseUnreachable):
            # A foreign env.py may have gone elsewhere: the error names where.
            raise error
        if (gone := self._migrating.cut or cut(error)) is not None:
            self._outside.clean()
            raise DatabaseUnreachable.of(self._dsn, gone) from error
        if isinstance(error, MigrationError):
            raise error
        if attempt.revision is None:
            raise failed_before_any(error, self._dsn, self._order.history.folders) from error
        left = self._outside.clean()
        if not is_contended(error) or self._outside.note.is_half:
            file = self._order.history.revision(attempt.revision).path
            # What it was raised from may hold a row, and every traceback would show it.
            raise failed(error, attempt, file, stands=self._outside.note.stands, left=left) from None
        self._pause(error)

    def _exceeded(self) -> LockBudgetExceeded:
        note = self._outside.note
        stands = note.stands if note.is_half else ()
        return LockBudgetExceeded(
            self._revision, self._patience.budget_s, self._attempts, self._in_the_way, [shape(one) for one in stands]
        )

    def _pause(self, error: Exception, pid: int = 0) -> None:
        """Wait a while, and then for whoever held the lock that was not to be had, but for `pid`, which asked."""
        spent = time.monotonic() - self._first_try
        revision = self._migrating.attempt.revision or self._revision
        self._revision, self._in_the_way = revision, tuple(self._watch.blockers) or self._in_the_way
        self._tell("lock timeout", revision)
        if spent >= self._patience.budget_s:
            raise self._exceeded() from error
        longest = min(LONGEST_PAUSE_S, self._order.lock_timeout_ms / 1000 * 2**self._attempts)
        pause = random.uniform(0, min(longest, self._patience.budget_s - spent))  # noqa: S311
        log.info("%s got no lock (try %d); again in %.2f s", revision, self._attempts, pause)
        time.sleep(pause)
        self._wait_for(Wanted(self._watch.waited_for), pid)
        self._attempts += 1

    def _ended_one(self, holder: Holder) -> None:
        self._ended.append(holder.session)
        log.info("ended in the way of %s: %s, which held %s", self._revision, holder.session, holder.lock)
        if self._order.record:
            applied.note_ended(self._session, self._revision, self._order.release_id, holder.session)
        self._tell("ended", self._revision, (holder.session,), f"{holder.lock.mode} on {holder.lock.relation}")

    def _tell_waiting(self, found: Sequence[Holder]) -> None:
        self._in_the_way = tuple(one.session for one in found)
        held = ", ".join(sorted({f"{one.lock.mode} on {one.lock.relation}" for one in found}))
        self._tell("waiting", self._revision, self._in_the_way, held)

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
