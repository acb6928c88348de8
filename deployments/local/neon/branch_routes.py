"""Neon's API: branches, made, changed, restored and deleted."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from deployments.local.errors import RefusedError
from deployments.local.neon.answers import Json, annotation_json, branch_json, created_branch_json, operations_json
from deployments.local.neon.bodies import CreateBranch, RestoreBranch, SortBy, SortOrder, UpdateBranch
from deployments.local.neon.branch_changes import NewBranch, create_branch, delete_branch, update_branch
from deployments.local.neon.branches import BranchStore
from deployments.local.neon.records import Branch
from deployments.local.neon.restore import restore_branch


def branch_routes(store: BranchStore) -> APIRouter:
    """Return the routes of branches."""
    router = APIRouter()
    _add_reading(router, store)
    _add_changing(router, store)
    return router


def _add_reading(router: APIRouter, store: BranchStore) -> None:
    @router.get("/branches")
    def branches(
        search: str = "",
        sort_by: SortBy = "updated_at",
        sort_order: SortOrder = "desc",
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> Json:
        project = store.project
        found = _sorted(_matching(project.branches, search), sort_by, sort_order)
        page, following = _page(found, cursor, limit)
        answer: Json = {
            "branches": [branch_json(project, branch) for branch in page],
            "annotations": {branch.id: annotation_json(branch) for branch in page if branch.annotation},
        }
        if following is not None:
            answer["pagination"] = {"next": following, "sort_by": sort_by, "sort_order": sort_order}
        return answer

    @router.get("/branches/count")
    def count(search: str = "") -> Json:
        return {"count": len(_matching(store.project.branches, search))}

    @router.get("/branches/{branch_id}")
    def show(branch_id: str) -> Json:
        branch = store.branch(branch_id)
        return {"branch": branch_json(store.project, branch), "annotation": annotation_json(branch)}


def _add_changing(router: APIRouter, store: BranchStore) -> None:
    @router.post("/branches", status_code=201)
    def create(body: CreateBranch | None = None) -> Json:
        wanted = body or CreateBranch()
        _refuse_unknown_kinds(wanted)
        new = NewBranch(
            name=wanted.branch.name,
            parent_id=wanted.branch.parent_id,
            parent_lsn=wanted.branch.parent_lsn,
            protected=wanted.branch.protected,
            expires_at=wanted.branch.expires_at,
            compute=bool(wanted.endpoints),
            annotation=wanted.annotation_value,
        )
        return created_branch_json(store, create_branch(store, new))

    @router.patch("/branches/{branch_id}")
    def update(branch_id: str, body: UpdateBranch) -> Json:
        wanted = body.branch
        expiry = (wanted.expires_at,) if "expires_at" in wanted.model_fields_set else None
        branch = update_branch(store, branch_id, name=wanted.name, protected=wanted.protected, expiry=expiry)
        return {"branch": branch_json(store.project, branch), "operations": []}

    @router.delete("/branches/{branch_id}", response_model=None)
    def delete(branch_id: str) -> Json | Response:
        if store.project.branch(branch_id) is None:
            return Response(status_code=204)
        accepted = delete_branch(store, branch_id)
        operations = operations_json(store.project, accepted.operations)
        return {"branch": branch_json(store.project, accepted.branch), "operations": operations}

    @router.post("/branches/{branch_id}/restore")
    def restore(branch_id: str, body: RestoreBranch) -> Json:
        if body.source_timestamp is not None:
            raise RefusedError(400, "source_timestamp is not available on the local platform: use source_lsn")
        accepted = restore_branch(
            store,
            branch_id,
            source_branch_id=body.source_branch_id,
            source_lsn=body.source_lsn,
            preserve_under_name=body.preserve_under_name,
        )
        operations = operations_json(store.project, accepted.operations)
        return {"branch": branch_json(store.project, accepted.branch), "operations": operations}


def _refuse_unknown_kinds(wanted: CreateBranch) -> None:
    if wanted.branch.parent_timestamp is not None:
        raise RefusedError(400, "parent_timestamp is not available on the local platform: use parent_lsn")
    if wanted.branch.init_source != "parent-data" or wanted.branch.archived:
        raise RefusedError(400, "only branches with their parent's data are available on the local platform")
    if [endpoint.type for endpoint in wanted.endpoints] not in ([], ["read_write"]):
        raise RefusedError(400, "a branch can have one read_write endpoint on the local platform")


def _matching(branches: Sequence[Branch], search: str) -> list[Branch]:
    return [branch for branch in branches if search in branch.name or search in branch.id]


def _sort_key(branch: Branch, sort_by: SortBy) -> tuple[str, str]:
    values = {
        "name": branch.name,
        "created_at": branch.created_at.isoformat(timespec="microseconds"),
        "updated_at": branch.updated_at.isoformat(timespec="microseconds"),
    }
    return values[sort_by], branch.id


def _sorted(branches: list[Branch], sort_by: SortBy, order: SortOrder) -> list[Branch]:
    return sorted(branches, key=lambda branch: _sort_key(branch, sort_by), reverse=order == "desc")


def _page(branches: list[Branch], cursor: str | None, limit: int) -> tuple[list[Branch], str | None]:
    """Return the branches after the one that a cursor names, and the next cursor when there are more."""
    ids = [branch.id for branch in branches]
    start = 0
    if cursor is not None:
        try:
            start = ids.index(base64.urlsafe_b64decode(cursor).decode()) + 1
        except ValueError as error:
            raise RefusedError(400, "the cursor is not valid any more: begin again") from error
    page = branches[start : start + limit]
    more = start + limit < len(branches)
    return page, base64.urlsafe_b64encode(page[-1].id.encode()).decode() if more else None
