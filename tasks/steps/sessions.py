"""Sessions of a run that died: what it left at work on production's and staging's databases is ended."""

from migrations.database.locks import end_sessions_of_migrations
from tasks import connections
from tasks.step import step


@step("end sessions of the dead run", timeout_s=120)
def end_sessions_of_dead_run() -> int:
    """End the sessions with which a run that died, or was stopped for longer than its lease, migrated.

    Returns:
        How many there were.
    """
    given = connections.settings()
    branches = connections.production_branch(given), connections.staging_branch(given)
    return sum(end_sessions_of_migrations(connections.owner_dsn(given, branch)) for branch in branches)
