"""A variable of Vercel's that several environments share stops a release before anything moves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from deployments.local.hosting.loopback import NO_TLS
from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings
from tasks import builds, connections

Make = Callable[[list[str]], None]


@pytest.fixture
def settings(platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    return connections.settings()


@pytest.fixture
def make_variable(platform: RunningPlatform) -> Iterator[Make]:
    """Make the variable of the connection string, for some targets; what a test makes is removed after it."""
    env = platform.env
    client = httpx.Client(
        base_url=env["VERCEL_API_URL"],
        headers={"Authorization": f"Bearer {env['VERCEL_TOKEN']}"},
        params={"teamId": env["VERCEL_TEAM_ID"]},
        trust_env=False,
        verify=NO_TLS,
    )
    at = f"/v10/projects/{env['VERCEL_PROJECT_ID']}/env"

    def remove() -> None:
        for one in client.get(at).json()["envs"]:
            if one["key"] == builds.DSN_VARIABLE:
                client.delete(f"{at}/{one['id']}").raise_for_status()

    def make(targets: list[str]) -> None:
        remove()
        body = {"key": builds.DSN_VARIABLE, "value": "theirs", "type": "encrypted", "target": targets}
        client.post(at, json=body).raise_for_status()

    with client:
        yield make
        remove()


def test_a_variable_of_both_environments_is_refused_for_each(settings: Settings, make_variable: Make) -> None:
    make_variable(["production", "preview"])
    found = builds.shared_variables(connections.vercel(settings), "v2")
    assert [text.partition(" serves ")[2].partition(":")[0] for text in found] == [
        "production and preview at once",
        "preview and production at once",
    ]


@pytest.mark.parametrize("targets", [["production"], ["preview"]])
def test_a_variable_of_one_environment_is_fine(settings: Settings, make_variable: Make, targets: list[str]) -> None:
    make_variable(targets)
    assert builds.shared_variables(connections.vercel(settings), "v2") == []
