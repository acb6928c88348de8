"""One way to apply a commit's revisions, to staging and to production alike."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from deployments.git.repository import Commit
from deployments.settings import Settings
from migrations.apply.migrate import Applied, upgrade
from migrations.apply.progress import OnEvent, Progress
from tasks import connections, record
from tasks.backfills import shown_in_prefect
from tasks.fencing import statement_fence
from tasks.values import RestorePoint

# Of those that a revision made wait, the ledger keeps so many.
LONGEST = 5


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
    with shown_in_prefect():
        return upgrade(
            dsn,
            connections.history(settings, commit),
            target=target_revision,
            release_id=release_id,
            lock_timeout_ms=settings.lock_timeout_ms,
            budget_s=settings.migration_budget_s,
            policy=settings.migration_policy,
            end_idle_after_s=settings.end_idle_after_s,
            statement_timeout_s=settings.statement_timeout_s,
            since_xid=None if point is None else point.seal.oldest_open_xid,
            on_event=_noted(release_id),
            fence=statement_fence(),
        )


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


def _noted(release_id: str) -> OnEvent:
    """Write into the ledger at once whom a revision waits for, and who was ended for it."""

    def note(event: Progress) -> None:
        if event.kind in {"waiting", "ended"}:
            record.note(
                release_id,
                f"migration: {event.kind}",
                revision=event.revision,
                held=event.detail,
                sessions=[str(one) for one in event.sessions],
            )

    return note
