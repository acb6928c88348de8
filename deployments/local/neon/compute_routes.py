"""Neon's API: computes, roles and databases."""

from __future__ import annotations

from fastapi import APIRouter, Response

from deployments.local.errors import RefusedError
from deployments.local.neon.answers import Json, database_json, endpoint_json, operations_json, role_json
from deployments.local.neon.bodies import CreateDatabase, CreateEndpoint, CreateRole, UpdateEndpoint
from deployments.local.neon.branches import Accepted, BranchStore, password_of
from deployments.local.neon.computes import (
    create_endpoint,
    delete_endpoint,
    restart_endpoint,
    start_endpoint,
    suspend_endpoint,
)
from deployments.local.neon.roles import delete_database, delete_role, make_database, make_role, reset_password


def compute_routes(store: BranchStore) -> APIRouter:
    """Return the routes of computes, roles and databases."""
    router = APIRouter()
    _add_endpoints(router, store)
    _add_endpoint_changes(router, store)
    _add_roles(router, store)
    _add_databases(router, store)
    return router


def _accepted_endpoint(store: BranchStore, accepted: Accepted) -> Json:
    endpoint = accepted.endpoint
    return {
        "endpoint": endpoint_json(store.project, endpoint) if endpoint is not None else {},
        "operations": operations_json(store.project, accepted.operations),
    }


def _add_endpoints(router: APIRouter, store: BranchStore) -> None:
    @router.get("/endpoints")
    def endpoints() -> Json:
        project = store.project
        return {"endpoints": [endpoint_json(project, endpoint) for endpoint in project.endpoints]}

    @router.get("/branches/{branch_id}/endpoints")
    def of_branch(branch_id: str) -> Json:
        endpoint = store.project.endpoint_of(store.branch(branch_id).id)
        return {"endpoints": [endpoint_json(store.project, endpoint)] if endpoint is not None else []}

    @router.get("/endpoints/{endpoint_id}")
    def show(endpoint_id: str) -> Json:
        return {"endpoint": endpoint_json(store.project, store.endpoint(endpoint_id))}

    @router.post("/endpoints", status_code=201)
    def create(body: CreateEndpoint) -> Json:
        if body.endpoint.type != "read_write":
            raise RefusedError(400, "only read_write endpoints are available on the local platform")
        return _accepted_endpoint(store, create_endpoint(store, body.endpoint.branch_id))


def _add_endpoint_changes(router: APIRouter, store: BranchStore) -> None:
    @router.patch("/endpoints/{endpoint_id}")
    def update(endpoint_id: str, body: UpdateEndpoint) -> Json:
        endpoint = store.endpoint(endpoint_id)
        if body.endpoint.branch_id not in {None, endpoint.branch_id}:
            raise RefusedError(400, "an endpoint cannot move to another branch on the local platform")
        return {"endpoint": endpoint_json(store.project, endpoint), "operations": []}

    @router.delete("/endpoints/{endpoint_id}", response_model=None)
    def delete(endpoint_id: str) -> Json | Response:
        if store.project.endpoint(endpoint_id) is None:
            return Response(status_code=204)
        return _accepted_endpoint(store, delete_endpoint(store, endpoint_id))

    @router.post("/endpoints/{endpoint_id}/start")
    def start(endpoint_id: str) -> Json:
        return _accepted_endpoint(store, start_endpoint(store, endpoint_id))

    @router.post("/endpoints/{endpoint_id}/suspend")
    def suspend(endpoint_id: str) -> Json:
        return _accepted_endpoint(store, suspend_endpoint(store, endpoint_id))

    @router.post("/endpoints/{endpoint_id}/restart")
    def restart(endpoint_id: str) -> Json:
        return _accepted_endpoint(store, restart_endpoint(store, endpoint_id))


def _accepted_role(store: BranchStore, branch_id: str, accepted: Accepted, *, with_password: bool) -> Json:
    role = accepted.role
    return {
        "role": role_json(branch_id, role, with_password=with_password) if role is not None else {},
        "operations": operations_json(store.project, accepted.operations),
    }


def _add_roles(router: APIRouter, store: BranchStore) -> None:
    @router.get("/branches/{branch_id}/roles")
    def roles(branch_id: str) -> Json:
        return {"roles": [role_json(branch_id, role) for role in store.branch(branch_id).roles]}

    @router.get("/branches/{branch_id}/roles/{name}")
    def show(branch_id: str, name: str) -> Json:
        role = store.branch(branch_id).role(name)
        if role is None:
            raise RefusedError(404, "role not found")
        return {"role": role_json(branch_id, role)}

    @router.post("/branches/{branch_id}/roles", status_code=201)
    def create(branch_id: str, body: CreateRole) -> Json:
        accepted = make_role(store, branch_id, body.role.name, may_login=not body.role.no_login)
        return _accepted_role(store, branch_id, accepted, with_password=True)

    @router.delete("/branches/{branch_id}/roles/{name}")
    def delete(branch_id: str, name: str) -> Json:
        return _accepted_role(store, branch_id, delete_role(store, branch_id, name), with_password=False)

    @router.get("/branches/{branch_id}/roles/{name}/reveal_password")
    def reveal(branch_id: str, name: str) -> Json:
        return {"password": password_of(store.branch(branch_id), name)}

    @router.post("/branches/{branch_id}/roles/{name}/reset_password")
    def reset(branch_id: str, name: str) -> Json:
        return _accepted_role(store, branch_id, reset_password(store, branch_id, name), with_password=True)


def _add_databases(router: APIRouter, store: BranchStore) -> None:
    @router.get("/branches/{branch_id}/databases")
    def databases(branch_id: str) -> Json:
        return {"databases": [database_json(branch_id, found) for found in store.branch(branch_id).databases]}

    @router.get("/branches/{branch_id}/databases/{name}")
    def show(branch_id: str, name: str) -> Json:
        found = store.branch(branch_id).database(name)
        if found is None:
            raise RefusedError(404, "database not found")
        return {"database": database_json(branch_id, found)}

    @router.post("/branches/{branch_id}/databases", status_code=201)
    def create(branch_id: str, body: CreateDatabase) -> Json:
        made, accepted = make_database(store, branch_id, body.database.name, body.database.owner_name)
        operations = operations_json(store.project, accepted.operations)
        return {"database": database_json(branch_id, made), "operations": operations}

    @router.delete("/branches/{branch_id}/databases/{name}")
    def delete(branch_id: str, name: str) -> Json:
        deleted, accepted = delete_database(store, branch_id, name)
        operations = operations_json(store.project, accepted.operations)
        return {"database": database_json(branch_id, deleted), "operations": operations}
