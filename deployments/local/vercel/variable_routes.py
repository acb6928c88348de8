"""The calls of Vercel's API about environment variables."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from deployments.local.errors import RefusedError
from deployments.local.vercel.variables import Variable, Variables

Json = dict[str, Any]


class NewVariable(BaseModel):
    """The body of POST /v10/projects/{project}/env."""

    key: str
    value: str
    type: str
    target: list[str]
    git_branch: str | None = Field(default=None, alias="gitBranch")

    def variable(self) -> Variable:
        """The variable that is asked for."""
        return Variable(self.key, self.value, self.type, self.target, self.git_branch)


def variable_routes(variables: Variables) -> APIRouter:
    """The routes over the variables of a project."""
    router = APIRouter()

    @router.post("/v10/projects/{project}/env", status_code=201)
    def create(wanted: NewVariable | list[NewVariable], *, upsert: bool = False) -> Json:
        if not isinstance(wanted, list):
            return {"created": _shown(variables.set(wanted.variable(), upsert=upsert)), "failed": []}
        # Of several, those that can be made are made.
        created: list[Json] = []
        failed: list[Json] = []
        for one in wanted:
            try:
                created.append(_shown(variables.set(one.variable(), upsert=upsert)))
            except RefusedError as refused:
                told = {"code": refused.code, "message": str(refused), "key": one.key, "target": one.target}
                failed.append({"error": told})
        return {"created": created, "failed": failed}

    @router.get("/v10/projects/{project}/env")
    def listed() -> Json:
        return {"envs": [_shown(one) for one in variables.every()]}

    @router.delete("/v9/projects/{project}/env/{variable}")
    @router.delete("/v10/projects/{project}/env/{variable}")
    def delete(variable: str) -> Json:
        return _shown(variables.remove(variable))

    return router


def _shown(variable: Variable) -> Json:
    # A value that is kept encrypted is not given back.
    value = variable.value if variable.type == "plain" else ""
    return {
        "id": variable.id,
        "key": variable.key,
        "value": value,
        "type": variable.type,
        "target": variable.target,
        "createdAt": variable.created_ms,
        "updatedAt": variable.updated_ms,
        **({"gitBranch": variable.git_branch} if variable.git_branch is not None else {}),
    }
