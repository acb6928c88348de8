"""One way to apply a commit's revisions, to staging and to production alike."""

from deployments.repository import Commit
from deployments.settings import Settings
from migrations.apply import upgrade
from tasks import connections
from tasks.backfills import shown_in_prefect


def apply(given: Settings, release_id: str, commit: Commit, dsn: str, target_revision: str) -> tuple[str, ...]:
    """Apply the pending revisions with the target's patience for locks.

    Args:
        dsn: direct connection string of the environment's owner.

    Returns:
        The revisions applied, in order.

    Raises:
        MigrationError: a revision did not go through; those before it stand.
    """
    with shown_in_prefect():
        applied = upgrade(
            dsn,
            connections.history(given, commit),
            target=target_revision,
            release_id=release_id,
            lock_timeout_ms=given.lock_timeout_ms,
            budget_s=given.migration_budget_s,
        )
    return tuple(one.revision for one in applied)
