"""Snapshots: states of a root branch, kept in folders of their own."""

from __future__ import annotations

from datetime import datetime

from deployments.local.errors import RefusedError
from deployments.local.neon.branch_changes import wanted_lsn
from deployments.local.neon.branches import Accepted, BranchStore, new_id
from deployments.local.neon.operations import Step
from deployments.local.neon.records import Snapshot
from deployments.local.postgres.backup import format_lsn, recover


def create_snapshot(
    store: BranchStore, branch_id: str, *, name: str | None, lsn: str | None, expires_at: datetime | None
) -> Accepted:
    """Begin to keep the state that a root branch has now, or had at an LSN.

    Raises:
        RefusedError: No such branch (404), it is no root or there are too many snapshots (422), the LSN is not in its
            history (400), or an operation runs (423).

    Source: Neon takes snapshots of root branches only.
    """
    with store.changing() as project:
        branch = store.branch(branch_id)
        if not branch.root:
            raise RefusedError(422, "snapshots can only be created from root branches")
        store.limits.refuse_more_snapshots(project)
        source = store.cluster(branch.folder)
        point = wanted_lsn(source, lsn)
        snapshot_id = new_id("snap")
        snapshot = Snapshot(
            id=snapshot_id,
            name=name or snapshot_id,
            source_branch_id=branch_id,
            folder=new_id("s"),
            lsn=format_lsn(point),
            expires_at=expires_at,
        )
        store.commit(lambda project: project.with_snapshot(snapshot))

        def keep() -> None:
            store.adopt(recover(source, point, store.root / snapshot.folder)).stop()
            store.commit(lambda project: project.with_snapshot(snapshot.model_copy(update={"ready": True})))

        operations = store.operations.begin(
            [Step("create_timeline", keep, branch_id=branch_id)], on_failure=lambda: _forget(store, snapshot)
        )
        return Accepted(branch, operations, snapshot=snapshot)


def update_snapshot(
    store: BranchStore, snapshot_id: str, *, name: str | None = None, expiry: tuple[datetime | None] | None = None
) -> Snapshot:
    """Change a snapshot's name or expiry; `expiry` is a tuple of one, so that None can clear it.

    Raises:
        RefusedError: No such snapshot (404), or an operation runs (423).
    """
    with store.changing():
        snapshot = _find(store, snapshot_id)
        update: dict[str, object] = {"name": name} if name is not None else {}
        if expiry is not None:
            update["expires_at"] = expiry[0]
        renewed = snapshot.model_copy(update=update)
        store.commit(lambda project: project.with_snapshot(renewed))
        return renewed


def delete_snapshot(store: BranchStore, snapshot_id: str) -> Accepted:
    """Begin to delete a snapshot.

    Raises:
        RefusedError: No such snapshot (404), or an operation runs (423).
    """
    with store.changing():
        snapshot = _find(store, snapshot_id)
        work = Step("delete_timeline", lambda: _forget(store, snapshot), branch_id=snapshot.source_branch_id)
        source = store.project.branch(snapshot.source_branch_id) or store.default_branch()
        return Accepted(source, store.operations.begin([work]), snapshot=snapshot)


def _find(store: BranchStore, snapshot_id: str) -> Snapshot:
    snapshot = store.project.snapshot(snapshot_id)
    if snapshot is None:
        raise RefusedError(404, "snapshot not found")
    return snapshot


def _forget(store: BranchStore, snapshot: Snapshot) -> None:
    store.commit(lambda project: project.without_snapshot(snapshot.id))
    store.discard(snapshot.folder)
