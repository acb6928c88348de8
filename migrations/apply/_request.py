"""What is to be applied, what is known of it while it runs, and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from migrations.apply.blocking_monitor import BlockedSession
from migrations.apply.resume_notes import ProgressNotes
from migrations.database.requested_locks import NO_LOCKS, RequestedLocks
from migrations.errors import Session
from migrations.history.guard_row import Fence
from migrations.history.revisions import History


@dataclass(frozen=True)
class Applied:
    """A revision that was applied, or taken away.

    Attributes:
        revision: its id.
        message: what it does.
        duration_ms: how long its transaction took, without the tries before it.
        attempts: how often it was tried, the last time included.
        recorded: whether the database keeps a record of it.
        waited_ms: how long it was tried and kept back before that, since others held what it needs.
        blocked: whom it made wait, the tries before included; the longest wait first.
        ended: sessions that sat idle in its way and were ended.
    """

    revision: str
    message: str
    duration_ms: int
    attempts: int
    recorded: bool
    waited_ms: int = 0
    blocked: tuple[BlockedSession, ...] = ()
    ended: tuple[Session, ...] = ()

    @property
    def blocked_ms(self) -> int:
        """The longest that somebody waited for it, in milliseconds; shorter than 25 may not be seen."""
        return max((one.waited_ms for one in self.blocked), default=0)


@dataclass
class Attempt:
    """What is known of the revision that runs now.

    Attributes:
        revision: its id; None between revisions.
        started: the monotonic clock at its beginning.
        version_written: whether its transaction has written its version, so that it counts as applied.
        has_fired_deferred: whether that has made its deferred triggers fire, and those that come fire at once.
        requested: the locks that its last statement asked for.
        limit_ms: how long that might run; 0 for no limit.
        began: the monotonic clock when that was sent.
    """

    revision: str | None = None
    started: float = 0.0
    version_written: bool = False
    has_fired_deferred: bool = False
    requested: RequestedLocks = NO_LOCKS
    limit_ms: int = 0
    began: float = 0.0

    def begin(self, revision: str) -> None:
        """Forget the revision before."""
        self.revision, self.started = revision, time.monotonic()
        self.requested, self.limit_ms = NO_LOCKS, 0
        self.version_written = self.has_fired_deferred = False

    def begin_statement(self, requested: RequestedLocks, limit_ms: int) -> None:
        """Note a statement that is about to be sent."""
        self.requested, self.limit_ms, self.began = requested, limit_ms, time.monotonic()

    @property
    def was_too_long(self) -> bool:
        """Whether the last statement has run for as long as it might."""
        return self.limit_ms > 0 and (time.monotonic() - self.began) * 1000 >= self.limit_ms


@dataclass(frozen=True)
class ApplyRequest:
    """What is to be applied: up or down, to where, in whose name, and for how long it may block others.

    Attributes:
        statement_timeout_ms: for a statement that stops others; 0 for no limit.
        budget_s: seconds that a batch of a backfill may be tried again.
        progress_notes: whether notes are kept of how far a revision has come that works outside a transaction.
        since_xid: the oldest transaction that may have been committed after the restore point; None without one.
        fence: what keeps a run from going on that has lost its release; None where nobody can take it.
    """

    history: History
    target: str
    up: bool
    release_id: str
    record: bool
    lock_timeout_ms: int
    statement_timeout_ms: int = 0
    budget_s: float = 60.0
    progress_notes: ProgressNotes = "off"
    since_xid: int | None = None
    fence: Fence | None = None
