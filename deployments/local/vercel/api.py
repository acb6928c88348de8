"""Vercel's REST API over one project: deployments, promotion, rollback, variables, Edge Config, runtime logs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from deployments.local.errors import RefusedError
from deployments.local.hosting.faults import install_faults
from deployments.local.vercel.account_routes import account_routes
from deployments.local.vercel.builds import Build
from deployments.local.vercel.git_links import GitSource
from deployments.local.vercel.production import RuntimeLog
from deployments.local.vercel.project import VercelProject
from deployments.local.vercel.variable_routes import variable_routes

_LOG_S = 300
_TICK_S = 0.2
PROJECT_NAME = "cjhirashi-agents"

Json = dict[str, Any]


class NewDeployment(BaseModel):
    """The body of POST /v13/deployments."""

    model_config = ConfigDict(extra="ignore")

    name: str
    project: str | None = None
    target: Literal["production", "staging"] | None = None
    git_source: GitSource = Field(alias="gitSource")
    meta: dict[str, str] = {}
    auto_assign: bool | None = Field(default=None, alias="autoAssignCustomDomains")


class ItemChange(BaseModel):
    """One change of the Edge Config."""

    operation: str
    key: str = Field(pattern=r"^[\w-]+$")
    value: Any = None


class ItemChanges(BaseModel):
    """The body of PATCH …/items."""

    items: list[ItemChange]


def create_vercel_app(project: VercelProject) -> FastAPI:
    """The API over a project."""
    app = FastAPI(title="Vercel", docs_url=None, redoc_url=None, openapi_url=None)
    install_faults(app)

    async def refused(_: Request, error: Exception) -> JSONResponse:
        status, code = (error.status, error.code) if isinstance(error, RefusedError) else (500, "internal_server_error")
        return _error(status, code or "bad_request", str(error))

    async def unknown(_: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = "method_not_allowed" if status == 405 else "not_found"
        return _error(status, code, "The requested API endpoint was not found.")

    async def malformed(_: Request, error: Exception) -> JSONResponse:
        return _error(400, "bad_request", f"Invalid request: {error}"[:500])

    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, malformed)
    guarded = [Depends(_guard(project))]
    app.include_router(_deployments(project), dependencies=guarded)
    app.include_router(_project(project), dependencies=guarded)
    app.include_router(account_routes(project.identity), dependencies=guarded)
    app.include_router(variable_routes(project.variables), dependencies=guarded)
    app.include_router(_config_changes(project), dependencies=guarded)
    app.include_router(_config_reads(project))
    return app


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


def _guard(project: VercelProject) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {project.identity.token}":
            raise RefusedError(403, "Not authorized", "forbidden")
        if request.query_params.get("teamId") != project.identity.team_id:
            raise RefusedError(403, "Not authorized: the team is not the project's", "forbidden")
        wanted = request.path_params.get("project")
        if wanted is not None and wanted != project.identity.project_id:
            raise RefusedError(404, "Project not found.", "not_found")

    return check


def _shown(project: VercelProject, build: Build) -> Json:
    ready = build.state == "READY"
    substate = "PROMOTED" if build.served else "STAGED"
    return {
        "id": build.id,
        "uid": build.id,
        "name": PROJECT_NAME,
        "projectId": project.identity.project_id,
        "url": build.url,
        "readyState": build.state,
        "state": build.state,
        **({"readySubstate": substate} if ready and build.target == "production" else {}),
        "target": build.target,
        "createdAt": build.created_ms,
        "created": build.created_ms,
        "ready": build.ready_ms,
        "meta": build.meta,
        "gitSource": project.identity.git.source(build.ref, build.sha),
        "aliasAssigned": build.id == project.serving,
        "aliasError": None,
        **({"errorCode": "BUILD_FAILED", "errorMessage": build.error} if build.state == "ERROR" else {}),
    }


def _deployments(project: VercelProject) -> APIRouter:
    router = APIRouter()

    @router.post("/v13/deployments")
    def create(wanted: NewDeployment) -> Json:
        if wanted.project not in {None, project.identity.project_id, PROJECT_NAME}:
            raise RefusedError(404, "Project not found.", "not_found")
        build = project.create(
            wanted.git_source, target=wanted.target, meta=wanted.meta, takes_domains=wanted.auto_assign is not False
        )
        return {**_shown(project, build), "readyState": "QUEUED"}

    @router.get("/v13/deployments/{deployment}")
    def read(deployment: str) -> Json:
        return _shown(project, project.find(deployment))

    @router.delete("/v13/deployments/{deployment}")
    def delete(deployment: str) -> Json:
        build = project.find(deployment)
        project.delete(build)
        return {"uid": build.id, "state": "DELETED"}

    @router.get("/v6/deployments")
    @router.get("/v7/deployments")
    def listed(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        target: str | None = None,
        state: str | None = None,
        until: int | None = None,
        sha: str | None = None,
        rollback_candidate: Annotated[bool, Query(alias="rollbackCandidate")] = False,
    ) -> Json:
        every = sorted(project.builds.values(), key=lambda b: b.created_ms, reverse=True)
        found = [
            build
            for build in every
            if (target is None or (build.target or "preview") == target)
            and (state is None or build.state in state.split(","))
            and (until is None or build.created_ms < until)
            and (sha is None or build.sha == sha)
            and (not rollback_candidate or (build.served and build.id != project.serving))
        ]
        page = found[:limit]
        following = page[-1].created_ms if len(found) > limit else None
        return {
            "deployments": [_shown(project, build) for build in page],
            "pagination": {"count": len(page), "next": following, "prev": page[0].created_ms if page else None},
        }

    @router.get("/v3/deployments/{deployment}/events")
    def events(deployment: str) -> list[Json]:
        build = project.find(deployment)
        return [{"type": "stdout", "created": build.created_ms, "text": line} for line in build.lines]

    @router.get("/v1/projects/{project}/deployments/{deployment}/runtime-logs")
    def runtime_logs(deployment: str) -> StreamingResponse:
        build = project.find(deployment)
        return StreamingResponse(_follow(build.log, build.log.end), media_type="application/stream+json")

    return router


def _follow(log: RuntimeLog, number: int) -> Generator[str]:
    """What happens from now on, a line a request; a blank line where nothing does, so that a gone reader is noticed."""
    ends = time.monotonic() + _LOG_S
    while time.monotonic() < ends:
        number, lines = log.since(number, wait_s=_TICK_S)
        yield "".join(f"{json.dumps(line.as_dict())}\n" for line in lines) or "\n"


def _project(project: VercelProject) -> APIRouter:
    router = APIRouter()

    @router.get("/v9/projects/{project}")
    def read() -> Json:
        move, serving = project.last_move, project.serving
        return {
            "id": project.identity.project_id,
            "name": PROJECT_NAME,
            "accountId": project.identity.team_id,
            "link": project.identity.git.link(),
            "protectionBypass": {project.identity.bypass_secret: {"createdAt": 0, "scope": "automation-bypass"}},
            "targets": {"production": _shown(project, project.builds[serving])} if serving else {},
            "lastAliasRequest": None
            if move is None
            else {
                "type": move.type,
                "jobStatus": move.status,
                "requestedAt": move.requested_ms,
                "fromDeploymentId": move.from_id,
                "toDeploymentId": move.to_id,
            },
        }

    @router.post("/v10/projects/{project}/promote/{deployment}", status_code=201)
    def promote(deployment: str) -> Json:
        project.move("promote", project.find(deployment))
        return {}

    @router.post("/v1/projects/{project}/rollback/{deployment}", status_code=201)
    @router.post("/v9/projects/{project}/rollback/{deployment}", status_code=201)
    def rollback(deployment: str) -> Json:
        project.move("rollback", project.find(deployment))
        return {}

    return router


def _config_changes(project: VercelProject) -> APIRouter:
    router = APIRouter()

    @router.patch("/v1/edge-config/{config}/items")
    @router.patch("/v1/global-config/{config}/items")
    def change(config: str, changes: Annotated[ItemChanges, Body()]) -> Json:
        _known(project, config)
        for one in changes.items:
            project.change_item(one.operation, one.key, one.value)
        return {"status": "ok"}

    @router.get("/v1/edge-config/{config}/items")
    @router.get("/v1/global-config/{config}/items")
    def items(config: str) -> list[Json]:
        _known(project, config)
        return [{"key": key, "value": value} for key, value in [*project.items.items()]]

    return router


def _config_reads(project: VercelProject) -> APIRouter:
    """What a running application reads with the config's own token."""
    router = APIRouter()

    @router.get("/{config}/item/{key}")
    def item(config: str, key: str, token: str = "") -> JSONResponse:
        _known(project, config)
        if token != project.identity.config_token:
            raise RefusedError(401, "The token is not the config's.", "unauthorized")
        if key not in project.items:
            raise RefusedError(404, f"The item {key} could not be found.", "edge_config_item_not_found")
        return JSONResponse(project.items[key])

    return router


def _known(project: VercelProject, config: str) -> None:
    if config != project.identity.config_id:
        raise RefusedError(404, "The Edge Config could not be found.", "not_found")
