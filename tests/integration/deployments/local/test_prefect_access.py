"""Whoever reaches Prefect's API has the worker: who is let in, and what those can make the worker run."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from deployments.local.supervisor.pipeline import WORK_POOL
from deployments.local.supervisor.platform import down, read_env
from flows.cli import app

HOUSE = Path(__file__).parents[4]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Prefect:
    """A platform with Prefect's server and worker, and the flows deployed."""

    state: Path
    env: dict[str, str]

    @property
    def api(self) -> str:
        return self.env["PREFECT_API_URL"]

    @property
    def key(self) -> str:
        return self.env["PREFECT_API_AUTH_STRING"]

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        user, _, password = self.key.partition(":")
        for _ in range(60):
            answer = httpx.request(
                method, self.api + path, json=body, auth=(user, password), timeout=60, trust_env=False
            )
            # The server answers so while its SQLite file is held by another writer.
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE.value:
                return answer
            time.sleep(1)
        raise AssertionError(f"{method} {path} was never answered")

    def deployment(self, name: str = "drift-check/drift-check") -> dict[str, Any]:
        return self.ask("GET", f"/deployments/name/{name}").raise_for_status().json()

    def end_of(self, run: str) -> dict[str, Any]:
        deadline = time.monotonic() + 240
        while (found := self.ask("GET", f"/flow_runs/{run}").json())["state_type"] not in ENDED:
            assert time.monotonic() < deadline, found["state"]
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    state = tmp_path_factory.mktemp("access")
    argv = [Path(sys.executable).parent / "pilotage", "local", "up", "--detach", "--pipeline", "--state", state]
    env = {**os.environ, "PREFECT_HOME": str(state / "home"), "DO_NOT_TRACK": "1"}
    try:
        subprocess.run(argv, cwd=HOUSE, env=env, check=True)
        yield Prefect(state, read_env(state))
    finally:
        down(state)


def hostile(marker: Path) -> dict[str, dict[str, object]]:
    """Job variables that would run a command of the caller's, each in its own way."""
    return {
        "a command": {"command": f"touch {marker}"},
        "an environment": {"env": {"PYTHONPATH": str(marker.parent), "PILOTAGE_HOME": str(marker.parent)}},
        "an environment, dotted": {"env.PILOTAGE_HOME": str(marker.parent)},
        "a folder": {"working_dir": str(marker.parent)},
        "a name of its own": {"anything": "else"},
    }


def test_the_api_answers_nobody_without_the_key(prefect: Prefect) -> None:
    run = {"flow_id": prefect.deployment()["flow_id"], "state": {"type": "SCHEDULED"}}
    for auth in (None, ("pilotage", "wrong")):
        with httpx.Client(base_url=prefect.api, auth=auth, timeout=30, trust_env=False) as stranger:
            assert stranger.post("/flow_runs/", json=run).status_code == 401
            assert stranger.post("/deployments/filter", json={}).status_code == 401
            assert stranger.patch(f"/work_pools/{WORK_POOL}", json={}).status_code == 401
    assert prefect.ask("POST", "/deployments/filter", {}).status_code == 200


@pytest.mark.parametrize("key", ["", "pilotage:wrong"])
def test_a_command_without_the_key_says_which_variable_has_it(prefect: Prefect, key: str) -> None:
    env = {**os.environ, **prefect.env, "PREFECT_HOME": str(prefect.state / "home"), "PREFECT_API_AUTH_STRING": key}
    argv = [Path(sys.executable).parent / "pilotage", "release", "start", "main"]
    told = subprocess.run(argv, cwd=HOUSE, env=env, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr == (
        "error: the Prefect server does not do what it was asked: it refuses the key: "
        "set PREFECT_API_AUTH_STRING to the server's\n"
    )


def test_a_foreign_page_is_not_let_in(prefect: Prefect) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    ours = {**asked, "Origin": prefect.api.removesuffix("/api")}
    answers = [
        httpx.options(f"{prefect.api}/flow_runs/", headers=headers, trust_env=False) for headers in (asked, ours)
    ]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [None, ours["Origin"]]
    rebound = httpx.post(
        f"{prefect.api}/deployments/filter", json={}, headers={"Host": "evil.example"}, trust_env=False
    )
    assert rebound.status_code == 401


def test_the_key_is_one_of_this_start_and_for_its_owner_alone(prefect: Prefect) -> None:
    assert len(prefect.key) > 40
    assert stat.S_IMODE((prefect.state / "local.env").stat().st_mode) == 0o600
    shown = CliRunner().invoke(app, ["local", "status", "--state", str(prefect.state)], env={"COLUMNS": "400"})
    assert "PREFECT_API_AUTH_STRING in " in shown.stdout
    assert prefect.key not in shown.output
    settings = httpx.get(prefect.api.removesuffix("/api") + "/ui-settings", trust_env=False)
    assert settings.json()["auth"] == "BASIC"
    assert prefect.key not in settings.text
    logs = [file.read_text(errors="replace") for file in (prefect.state / "logs").iterdir()]
    assert not any(prefect.key in log for log in logs)


def test_the_server_refuses_a_run_or_deployment_that_names_a_command_environment_or_folder(
    prefect: Prefect, tmp_path: Path
) -> None:
    found = prefect.deployment()
    for what, variables in hostile(tmp_path / "ran").items():
        asked = {"job_variables": variables}
        assert prefect.ask("POST", f"/deployments/{found['id']}/create_flow_run", asked).status_code == 422, what
        named = {"name": "foreign", "flow_id": found["flow_id"], "work_pool_name": WORK_POOL, **asked}
        assert prefect.ask("POST", "/deployments/", named).status_code == 422, what
        moved = {"work_pool_name": WORK_POOL, **asked}
        assert prefect.ask("PATCH", f"/deployments/{found['id']}", moved).status_code == 409, what


def test_nor_can_many_runs_at_once_a_run_that_waits_or_an_automation(prefect: Prefect, tmp_path: Path) -> None:
    deployment = prefect.deployment()["id"]
    asked = {"job_variables": {name: value for one in hostile(tmp_path).values() for name, value in one.items()}}
    many = prefect.ask("POST", f"/deployments/{deployment}/create_flow_run/bulk", [asked]).raise_for_status().json()
    assert [(one["status"], one["flow_run_id"]) for one in many["results"]] == [("FAILED", None)]
    later = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}}
    waits = prefect.ask("POST", f"/deployments/{deployment}/create_flow_run", later).raise_for_status().json()["id"]
    assert prefect.ask("PATCH", f"/flow_runs/{waits}", asked).status_code == 422
    prefect.ask("DELETE", f"/flow_runs/{waits}").raise_for_status()
    act = {"type": "run-deployment", "source": "selected", "deployment_id": deployment, "parameters": {}, **asked}
    on = {"type": "event", "posture": "Reactive", "expect": ["anything"], "threshold": 1, "within": 0}
    assert prefect.ask("POST", "/automations/", {"name": "foreign", "trigger": on, "actions": [act]}).status_code == 422


def test_runs_that_the_server_does_not_look_at_run_no_foreign_command(prefect: Prefect, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    flow = prefect.deployment()["flow_id"]
    copied = {name: prefect.deployment()[name] for name in ("flow_id", "entrypoint", "pull_steps", "parameters")}
    variables = {name: value for one in hostile(marker).values() for name, value in one.items()}
    # An update that names no pool is not compared with a pool's template.
    named = {**copied, "name": "changed", "work_pool_name": WORK_POOL}
    deployment = prefect.ask("POST", "/deployments/", named).raise_for_status().json()["id"]
    prefect.ask("PATCH", f"/deployments/{deployment}", {"job_variables": variables}).raise_for_status()
    queue = {"work_pool_name": WORK_POOL, "work_queue_name": "default", "state": {"type": "SCHEDULED"}}
    changed = {"flow_id": flow, "deployment_id": deployment, "parameters": {}, **queue}
    alone = {"flow_id": flow, "job_variables": variables, **queue}
    runs = [prefect.ask("POST", "/flow_runs/", run).raise_for_status().json()["id"] for run in (changed, alone)]
    ended = [prefect.end_of(run) for run in runs]
    assert ended[0]["state_type"] == "COMPLETED", ended[0]["state"]
    assert ended[1]["state_type"] in {"FAILED", "CRASHED"}
    assert not marker.exists()


def test_a_run_of_ours_goes_through_with_the_key(prefect: Prefect) -> None:
    answer = prefect.ask("POST", f"/deployments/{prefect.deployment()['id']}/create_flow_run", {})
    ended = prefect.end_of(answer.raise_for_status().json()["id"])
    assert ended["state_type"] == "COMPLETED", ended["state"]
