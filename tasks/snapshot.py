"""Snapshot: a branch of production kept beside it, before anything is changed."""

from datetime import UTC, datetime, timedelta

from tasks import connections
from tasks.record import recorded
from tasks.step import step


def snapshot_name(release_id: str) -> str:
    """The name of the branch that a release keeps of production."""
    return f"release-{release_id}"


@step("snapshot", timeout_s=600)
def take_snapshot(release_id: str) -> str:
    """Make a branch of production without compute, named after the release and expiring by itself.

    Returns:
        The id of the branch.
    """
    given = connections.settings()
    production = connections.production_branch(given)
    name = snapshot_name(release_id)
    expires_at = datetime.now(UTC) + timedelta(hours=given.snapshot_hours)
    with recorded(release_id, "snapshot", branch=name, expires_at=expires_at.isoformat(timespec="seconds")) as entry:
        branch = connections.neon(given).create_branch(
            name, parent_id=production.id, compute=False, expires_at=expires_at
        )
        entry.result({"branch": name, "branch_id": branch.id, "lsn": branch.parent_lsn})
    return branch.id
