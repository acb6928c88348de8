"""One way to apply a commit's revisions, to staging and to production alike."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import JsonValue

from deployments.git.repository import Commit
from deployments.settings import Settings
from migrations.apply.migrate import Applied, upgrade
from migrations.apply.progress import OnEvent, Progress
from migrations.errors import LockBudgetExceeded, MigrationError
from tasks import connections, record
from tasks.acts import Act
from tasks.backfills import shown_in_prefect
from tasks.fencing import open_act, statement_fence
from tasks.values import RestorePoint

# Of those that a revision made wait, the ledger keeps so many.
LONGEST = 5
# What is left to a try of a step whose budget the tries before it have spent: one look, and no waiting.
LEAST_BUDGET_S = 0.001

# Seconds of the budget that the tries of a step have spent, by release and act: a step is tried again in one process.
_spent_s: dict[tuple[str, Act | None], float] = {}


def apply(
    settings: Settings,
    release_id: str,
    commit: Commit,
    dsn: str,
    target_revision: str,
    *,
    point: RestorePoint | None = None,
) -> tuple[Applied, ...]:
    """Apply the pending revisions with the target's patience for locks.

    Args:
        dsn: direct connection string of the environment's owner.
        point: the restore point: what users have written since then is recorded where a revision overwrites it.

    Returns:
        The revisions applied, in order, and whom they made wait.

    Raises:
        MigrationError: a revision did not go through; those before it stand.
    """
    with shown_in_prefect(), _budget_of_step(settings, release_id) as budget:
        return upgrade(
            dsn,
            connections.history(settings, commit),
            target=target_revision,
            release_id=release_id,
            lock_timeout_ms=settings.lock_timeout_ms,
            budget_s=budget.seconds,
            policy=settings.migration_policy,
            end_idle_after_s=settings.end_idle_after_s,
            statement_timeout_s=settings.statement_timeout_s,
            since_xid=None if point is None else point.seal.oldest_open_xid,
            on_event=_noted(release_id, budget),
            fence=statement_fence(),
        )


def is_worth_another_try(error: MigrationError) -> bool:
    """Whether a step may go through when it is tried again; a budget that is spent is not had a second time."""
    return error.transient and not isinstance(error, LockBudgetExceeded)


@dataclass
class _Budget:
    """What a try of a step may spend on waiting for locks, and since when it waits for those of the revision at hand.

    Attributes:
        seconds: what is left of the step's budget.
        waits_since: the monotonic clock at the first try of the revision that waits; None while none does.
    """

    seconds: float
    waits_since: float | None = None

    def note(self, event: Progress) -> None:
        """Take in what happened to a revision."""
        if event.kind == "applied":
            self.waits_since = None
        elif event.kind in {"waiting", "lock timeout"} and self.waits_since is None:
            self.waits_since = time.monotonic() - event.elapsed_s


@contextmanager
def _budget_of_step(settings: Settings, release_id: str) -> Generator[_Budget]:
    """The budget is of the step: what a try has spent that failed, the next one has not."""
    key = release_id, open_act()
    budget = _Budget(max(LEAST_BUDGET_S, settings.migration_budget_s - _spent_s.get(key, 0.0)))
    try:
        yield budget
    except BaseException:
        if budget.waits_since is not None:
            _spent_s[key] = _spent_s.get(key, 0.0) + time.monotonic() - budget.waits_since
        raise
    _spent_s.pop(key, None)


def as_json(done: Sequence[Applied]) -> Mapping[str, JsonValue]:
    """What was applied as the ledger keeps it: how long each took, and how long it made whom wait."""
    return {
        "revisions": [one.revision for one in done],
        "impact": [
            {
                "revision": one.revision,
                "duration_ms": one.duration_ms,
                "attempts": one.attempts,
                "waited_ms": one.waited_ms,
                "blocked_ms": one.blocked_ms,
                "blocked": [
                    {"user": who.user, "application": who.application, "query": who.query, "waited_ms": who.waited_ms}
                    for who in one.blocked[:LONGEST]
                ],
                "ended": [str(who) for who in one.ended],
            }
            for one in done
        ],
    }


def _noted(release_id: str, budget: _Budget) -> OnEvent:
    """Write into the ledger at once whom a revision waits for, and who was ended for it."""

    def note(event: Progress) -> None:
        budget.note(event)
        if event.kind in {"waiting", "ended"}:
            record.note(
                release_id,
                f"migration: {event.kind}",
                revision=event.revision,
                held=event.detail,
                sessions=[str(one) for one in event.sessions],
            )

    return note
