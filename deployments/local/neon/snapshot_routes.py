"""Neon's API: snapshots."""

from __future__ import annotations

from fastapi import APIRouter

from deployments.local.errors import RefusedError
from deployments.local.neon.answers import Json, operations_json, snapshot_json
from deployments.local.neon.bodies import Expiry, Name, UpdateSnapshot
from deployments.local.neon.branches import BranchStore
from deployments.local.neon.snapshots import create_snapshot, delete_snapshot, update_snapshot


def snapshot_routes(store: BranchStore) -> APIRouter:
    """Return the routes of snapshots; a new one is described by the query, as Neon has it."""
    router = APIRouter()

    @router.get("/snapshots")
    def snapshots() -> Json:
        return {"snapshots": [snapshot_json(snapshot) for snapshot in store.project.snapshots]}

    @router.post("/branches/{branch_id}/snapshot")
    def create(
        branch_id: str,
        name: Name | None = None,
        lsn: str | None = None,
        timestamp: str | None = None,
        expires_at: Expiry | None = None,
    ) -> Json:
        if timestamp is not None:
            raise RefusedError(400, "timestamp is not available on the local platform: use lsn")
        accepted = create_snapshot(store, branch_id, name=name, lsn=lsn, expires_at=expires_at)
        snapshot = snapshot_json(accepted.snapshot) if accepted.snapshot is not None else {}
        return {"snapshot": snapshot, "operations": operations_json(store.project, accepted.operations)}

    @router.patch("/snapshots/{snapshot_id}")
    def update(snapshot_id: str, body: UpdateSnapshot) -> Json:
        wanted = body.snapshot
        expiry = (wanted.expires_at,) if "expires_at" in wanted.model_fields_set else None
        return {"snapshot": snapshot_json(update_snapshot(store, snapshot_id, name=wanted.name, expiry=expiry))}

    @router.delete("/snapshots/{snapshot_id}", status_code=202)
    def delete(snapshot_id: str) -> Json:
        accepted = delete_snapshot(store, snapshot_id)
        return {"operations": operations_json(store.project, accepted.operations)}

    return router
