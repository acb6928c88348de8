"""The calls of Vercel's API about who asks: the token and its team."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from deployments.local.errors import RefusedError
from deployments.local.vercel.project import Identity

Json = dict[str, Any]


def account_routes(identity: Identity) -> APIRouter:
    """The routes over the one team and the one token of a project."""
    router = APIRouter()

    @router.get("/v5/user/tokens/current")
    def token() -> Json:
        scope = {"type": "team", "teamId": identity.team_id, "createdAt": 0, "expiresAt": None}
        return {
            "token": {
                "id": "local",
                "name": "local platform",
                "type": "token",
                "scopes": [scope],
                "createdAt": 0,
                "activeAt": 0,
            }
        }

    @router.get("/v2/teams/{team}")
    def team(team: str) -> Json:
        if team != identity.team_id:
            raise RefusedError(404, "The team could not be found.", "not_found")
        return {
            "id": team,
            "slug": "local",
            "name": "Local platform",
            "membership": {"role": "OWNER", "confirmed": True, "teamId": team, "created": 0},
        }

    return router
