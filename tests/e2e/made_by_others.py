"""What somebody else has made, in a release's way."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tasks import builds


@contextmanager
def shared_variable(live: Any) -> Generator[None]:
    """Let somebody make the variable of the connection string for both environments; a build makes its own again."""
    env = live.platform.env
    at = f"{env['VERCEL_API_URL']}/v10/projects/{env['VERCEL_PROJECT_ID']}/env"
    headers = {"Authorization": f"Bearer {env['VERCEL_TOKEN']}"}
    with httpx.Client(headers=headers, params={"teamId": env["VERCEL_TEAM_ID"]}, trust_env=False) as client:
        for one in client.get(at).json()["envs"]:
            client.delete(f"{at}/{one['id']}").raise_for_status()
        body = {"key": builds.DSN_VARIABLE, "value": "theirs", "type": "encrypted", "target": ["production", "preview"]}
        made = client.post(at, json=body).raise_for_status().json()["created"]
        yield
        client.delete(f"{at}/{made['id']}").raise_for_status()


def other_application() -> Starlette:
    """An application that says that it is built from another commit."""

    async def version(_: Request) -> JSONResponse:
        return JSONResponse({"commit": "f" * 40})

    return Starlette(routes=[Route("/api/version", version)])
