"""Databases are taken over from a run that died, or that was stopped for longer than its lease."""

from tasks import connections, database_guard
from tasks.step import step


@step("take over databases", timeout_s=240)
def take_over_databases(release_id: str) -> int:
    """End the sessions of a release's former run, and let it commit no revision any more.

    Args:
        release_id: the release, which this process holds.

    Returns:
        How many sessions there were.

    Raises:
        MigrationError: a database is away, or somebody else holds the release.
        DeploymentError: Neon does not say how a branch is reached.
    """
    settings = connections.settings()
    branches = connections.production_branch(settings), connections.staging_branch(settings)
    return sum(database_guard.take_over(settings, release_id, branch) for branch in branches)
