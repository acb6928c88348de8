"""Neon's API, version 2, over the clusters of one local project."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from deployments.local.errors import LocalPlatformError, RefusedError
from deployments.local.hosting.faults import install_faults
from deployments.local.neon.answers import Json, operation_json, operations_json, project_item_json, project_json
from deployments.local.neon.bodies import UpdateProject
from deployments.local.neon.branch_routes import branch_routes
from deployments.local.neon.branches import BranchStore, connection_uri
from deployments.local.neon.compute_routes import compute_routes
from deployments.local.neon.records import now
from deployments.local.neon.snapshot_routes import snapshot_routes

logger = logging.getLogger(__name__)


def create_neon_app(store: BranchStore, *, api_key: str) -> FastAPI:
    """Return the application that serves a project's part of Neon's API under `/api/v2`.

    A change is answered at once with operations, and is done when all of them have ended. What the state of the project
    does not allow is answered as Neon does, with `code`, `message` and `request_id`.

    Args:
        store: The project.
        api_key: What callers must send as bearer token.

    Returns:
        The application; faults can be installed by its `/_local/faults`.
    """
    app = FastAPI(title="Neon API, local", docs_url=None, redoc_url=None, openapi_url=None)

    def know_caller(authorization: Annotated[str, Header()] = "") -> None:
        if not secrets.compare_digest(authorization.encode(), f"Bearer {api_key}".encode()):
            raise RefusedError(401, "authentication failed: the API key is missing or wrong")

    def know_project(project_id: str) -> None:
        if project_id != store.project.id:
            raise RefusedError(404, "project not found")

    caller = [Depends(know_caller)]
    app.include_router(_list_routes(store), prefix="/api/v2", dependencies=caller)
    for routes in (_project_routes, branch_routes, compute_routes, snapshot_routes):
        prefix = "/api/v2/projects/{project_id}"
        app.include_router(routes(store), prefix=prefix, dependencies=[*caller, Depends(know_project)])
    _answer_errors(app)
    install_faults(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.middleware("http")
    async def name_request(request: Request, serve: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.request_id = request.headers.get("x-request-id") or str(uuid.uuid4())
        response = await serve(request)
        response.headers["x-request-id"] = request.state.request_id
        return response

    @app.exception_handler(RefusedError)
    def refused(request: Request, error: RefusedError) -> JSONResponse:
        return _error(request, error.status, error.message, error.code)

    @app.exception_handler(LocalPlatformError)
    def broken(request: Request, error: LocalPlatformError) -> JSONResponse:
        logger.error("%s %s: %s", request.method, request.url.path, error)
        return _error(request, 500, str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        places = (f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}" for found in error.errors())
        return _error(request, 400, f"request is invalid: {'; '.join(places)}")

    @app.exception_handler(HTTPException)
    def no_route(request: Request, error: HTTPException) -> JSONResponse:
        return _error(request, error.status_code, str(error.detail))


def _error(request: Request, status: int, message: str, code: str = "") -> JSONResponse:
    body = {"code": code, "message": message, "request_id": request.state.request_id}
    return JSONResponse(body, status_code=status)


def _list_routes(store: BranchStore) -> APIRouter:
    router = APIRouter()

    @router.get("/projects")
    def projects(search: str = "") -> Json:
        project = store.project
        found = [project_item_json(project)] if search in project.name or search in project.id else []
        return {"projects": found, "unavailable_project_ids": [], "applications": {}, "integrations": {}}

    @router.get("/auth")
    def auth() -> Json:
        return {"account_id": "local", "auth_method": "api_key_user"}

    @router.get("/projects/shared")
    def shared() -> Json:
        return {"projects": []}

    return router


def _project_routes(store: BranchStore) -> APIRouter:
    router = APIRouter()

    @router.get("")
    def show() -> Json:
        return {"project": project_json(store.project, store.limits)}

    @router.patch("")
    def update(body: UpdateProject) -> Json:
        named = {"name": body.project.name, "history_retention_s": body.project.history_retention_seconds}
        values = {name: value for name, value in named.items() if value is not None}
        with store.changing():
            store.commit(lambda project: project.model_copy(update={**values, "updated_at": now()}))
        return {"project": project_json(store.project, store.limits), "operations": []}

    @router.get("/connection_uri")
    def uri(database_name: str, role_name: str, branch_id: str | None = None, endpoint_id: str | None = None) -> Json:
        found = connection_uri(
            store, branch_id=branch_id, endpoint_id=endpoint_id, database=database_name, role=role_name
        )
        return {"uri": found}

    @router.get("/operations")
    def operations(cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 1000) -> Json:
        found = list(store.operations.newest_first())
        if cursor is not None:
            found = [operation for operation in found if operation.created_at.isoformat() < cursor]
        page = found[:limit]
        answer: Json = {"operations": operations_json(store.project, page)}
        if len(page) < len(found):
            answer["pagination"] = {"cursor": page[-1].created_at.isoformat()}
        return answer

    @router.get("/operations/{operation_id}")
    def operation(operation_id: str) -> Json:
        found = store.operations.get(operation_id)
        if found is None:
            raise RefusedError(404, "operation not found")
        return {"operation": operation_json(store.project, found)}

    return router
