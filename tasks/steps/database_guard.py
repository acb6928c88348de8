"""The guard row of a database names the run that holds the release: no other commits a revision there."""

import logging

from deployments.errors import DeploymentError
from deployments.neon.client import Branch
from deployments.settings import Settings
from migrations.apply import taking_over
from migrations.errors import MigrationError
from tasks import connections, fencing
from tasks.step import step

log = logging.getLogger(__name__)


def take_over(settings: Settings, release_id: str, branch: Branch) -> int:
    """Let no other run of a release commit a revision on a branch any more.

    Args:
        settings: of the target.
        release_id: the release, which this process holds.
        branch: production's or staging's.

    Returns:
        How many sessions of another run were ended.

    Raises:
        MigrationError: the database is away, or somebody else holds the release.
        DeploymentError: Neon does not say how the branch is reached.
    """
    holder = fencing.holder_of(release_id)
    if holder is None:
        raise fencing.ChangeOutsideAct(f"release {release_id} is not held by this process")
    return taking_over.take_over_database(connections.owner_dsn(settings, branch), holder)


def write_anew(settings: Settings, release_id: str, branch: Branch) -> None:
    """Name this run on a branch that a restore has brought back with the row of then.

    The ledger goes on to be asked before each statement: what goes wrong here is logged, and changes nothing.

    Args:
        settings: of the target.
        release_id: the release, which this process holds.
        branch: production's or staging's.
    """
    try:
        take_over(settings, release_id, branch)
    except (MigrationError, DeploymentError) as error:
        log.warning("the guard row of %s could not be written anew after a restore: %s", branch.name, error)


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
    return sum(take_over(settings, release_id, branch) for branch in branches)
