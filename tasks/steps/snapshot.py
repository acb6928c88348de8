"""Snapshot: a branch of production kept beside it, before anything is changed."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from deployments.errors import DeploymentError
from deployments.neon.client import Branch
from deployments.settings import Settings
from tasks import connections
from tasks.acts import Act
from tasks.branches.room import SNAPSHOT
from tasks.record import recorded_step
from tasks.release_history import ReleaseHistory
from tasks.step import step

log = logging.getLogger(__name__)

PREFIX = SNAPSHOT
# What a release makes at most: its snapshot, and a branch to rehearse on or the state before a restore.
BRANCHES_NEEDED = 2


def snapshot_name(release_id: str) -> str:
    """The name of the branch that a release keeps of production."""
    return f"{PREFIX}{release_id}"


@step("snapshot", timeout_s=600)
def take_snapshot(release_id: str) -> str:
    """Make a branch of production without compute, named after the release and expiring by itself.

    Where the plan has no room left, the oldest snapshots of releases that are over are deleted first.

    Returns:
        The id of the branch.
    """
    settings = connections.settings()
    production = connections.production_branch(settings)
    name = snapshot_name(release_id)
    expires_at = datetime.now(UTC) + timedelta(hours=settings.snapshot_hours)
    client = connections.neon(settings)
    if name not in {branch.name for branch in client.branches()}:
        for branch in snapshots_to_delete(settings, client.branches()) or ():
            with recorded_step(release_id, Act.DELETE_OLD_SNAPSHOT, branch_name=branch.name):
                client.delete_branch(branch.id)
    with recorded_step(
        release_id, Act.SNAPSHOT, branch=name, expires_at=expires_at.isoformat(timespec="seconds")
    ) as entry:
        branch = client.create_branch(name, parent_id=production.id, compute=False, expires_at=expires_at)
        entry.result({"branch": name, "branch_id": branch.id, "lsn": branch.parent_lsn})
    return branch.id


@step("drop snapshot", timeout_s=300)
def drop_snapshot(release_id: str) -> None:
    """Delete the snapshot of a release that never touched production; one that cannot be deleted expires by itself."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        taken = [entry for entry in ledger.steps(release_id) if entry.step == Act.SNAPSHOT and entry.event == "done"]
    name = snapshot_name(release_id)
    try:
        client = connections.neon(settings)
        for branch in client.branches() if taken else ():
            if branch.name == name:
                with recorded_step(release_id, Act.DELETE_SNAPSHOT) as entry:
                    client.delete_branch(branch.id)
                    entry.result({"branch_deleted": name})
    except DeploymentError as error:
        log.warning("%s could not be deleted, and expires by itself: %s", name, error)


def snapshots_to_delete(settings: Settings, branches: Sequence[Branch]) -> tuple[Branch, ...] | None:
    """The snapshots that have to go so that a release has room, oldest first.

    Returns:
        The branches; none where there is room; None where there is too little room even without the old snapshots.
    """
    missing = len(branches) + BRANCHES_NEEDED - settings.neon_branch_limit
    if missing <= 0:
        return ()
    with connections.ledger(settings) as ledger:
        over = _releases_past_rollback(ReleaseHistory.read(ledger, settings.target))
    named = {branch.name: branch for branch in branches}
    old = [named[snapshot_name(each)] for each in over if snapshot_name(each) in named][settings.snapshots_kept :]
    return tuple(reversed(old))[:missing] if len(old) >= missing else None


def snapshots_that_stay(
    settings: Settings, branches: Sequence[Branch], *, known: Collection[str]
) -> tuple[Branch, ...]:
    """The snapshots that nobody needs and that do not expire: no release will delete them, and neither will Neon.

    Args:
        settings: the worker's settings.
        branches: all branches.
        known: the ids of all releases of the ledger, of whatever target.
    """
    with connections.ledger(settings) as ledger:
        over = set(_releases_past_rollback(ReleaseHistory.read(ledger, settings.target)))
    snapshots = (one for one in branches if one.name.startswith(PREFIX) and one.expires_at is None)
    return tuple(one for one in snapshots if (of := one.name.removeprefix(PREFIX)) in over or of not in known)


def _releases_past_rollback(history: ReleaseHistory) -> list[str]:
    """The releases that need their snapshot no more, newest first: nobody will go back to before them."""
    return [each.id for each in history.releases if history.is_past_rollback(each)]
