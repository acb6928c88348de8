"""The platform as a whole: up, down, killed, two side by side; nothing outlives it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from deployments.local.errors import PlatformDownError, PlatformRunningError, PlatformStartError
from deployments.local.hosting.faults import Fault
from deployments.local.hosting.state import StateFolder
from deployments.local.supervisor.platform import PlatformStatus, down, read_env, status, up
from deployments.local.supervisor.running import RunningPlatform

NAMES = {
    "LEDGER_URL",
    "NEON_API_KEY",
    "NEON_API_URL",
    "NEON_APP_ROLE",
    "NEON_DATABASE",
    "NEON_OWNER_ROLE",
    "NEON_PRODUCTION_BRANCH",
    "NEON_PROJECT_ID",
    "NEON_STAGING_BRANCH",
    "PRODUCTION_URL",
    "RELEASE_REPOSITORY",
    "SLACK_WEBHOOK_URL",
    "VERCEL_API_URL",
    "VERCEL_AUTOMATION_BYPASS_SECRET",
    "VERCEL_CONFIG_ID",
    "VERCEL_PROJECT_ID",
    "VERCEL_TEAM_ID",
    "VERCEL_TOKEN",
}


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a platform's"
    yield folder
    with suppress(PlatformDownError):
        down(folder)


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _family(found: PlatformStatus) -> list[psutil.Process]:
    supervisor = psutil.Process(found.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def _listening(*processes: psutil.Process) -> set[tuple[str, int]]:
    """Return the addresses that these processes, or any of the machine, listen on."""
    found = [process.net_connections(kind="tcp") for process in processes] or [psutil.net_connections(kind="tcp")]
    return {
        (connection.laddr.ip, connection.laddr.port)
        for connections in found
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    }


def _gone(process: psutil.Process) -> bool:
    # Where the first process of a container collects no orphans, an ended one stays in the table.
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def test_local_env_names_everything_for_its_owner_alone(platform: RunningPlatform) -> None:
    assert {name for name in platform.env if not name.startswith("PILOTAGE_")} == NAMES
    assert all(platform.env.values())
    assert platform.env["NEON_API_URL"] == f"{platform.status.neon_url}/api/v2"
    assert platform.env["NEON_PRODUCTION_BRANCH"] == "main"
    for name in ("local.env", "platform.json"):
        assert (platform.status.state / name).stat().st_mode & 0o777 == 0o600
    assert read_env(platform.status.state) == platform.env


def test_every_server_listens_on_loopback_alone(platform: RunningPlatform) -> None:
    assert {address for address, _ in _listening(*_family(platform.status))} == {"127.0.0.1"}


def test_each_service_answers_with_the_settings_given(platform: RunningPlatform) -> None:
    env = platform.env
    neon = httpx.get(
        f"{env['NEON_API_URL']}/projects/{env['NEON_PROJECT_ID']}/branches",
        headers={"Authorization": f"Bearer {env['NEON_API_KEY']}"},
    ).json()
    assert {branch["name"]: branch["protected"] for branch in neon["branches"]} == {"main": True, "staging": False}
    vercel = httpx.get(
        f"{env['VERCEL_API_URL']}/v9/projects/{env['VERCEL_PROJECT_ID']}",
        params={"teamId": env["VERCEL_TEAM_ID"]},
        headers={"Authorization": f"Bearer {env['VERCEL_TOKEN']}"},
    ).json()
    assert vercel["id"] == env["VERCEL_PROJECT_ID"]
    assert Path(env["RELEASE_REPOSITORY"]).is_dir()
    assert httpx.post(env["SLACK_WEBHOOK_URL"], json={"text": "hello"}).text == "ok"
    assert platform.slack_messages()[-1]["text"] == "hello"
    assert env["PRODUCTION_URL"] == platform.status.production_url


def test_each_service_fails_when_told_to(faults: RunningPlatform) -> None:
    addresses = {
        "neon": f"{faults.env['NEON_API_URL']}/projects",
        "vercel": f"{faults.env['VERCEL_API_URL']}/v9/projects/x",
        "slack": f"{faults.status.slack_url}/messages",
    }
    for service in ("neon", "vercel", "slack"):
        faults.fault(service, Fault(path=urlsplit(addresses[service]).path, status=418))
        assert httpx.get(addresses[service]).status_code == 418
        assert faults.requests(service)[-1].status == 418


def test_a_second_platform_does_not_start_in_the_same_folder(platform: RunningPlatform) -> None:
    said: list[str] = []
    again = up(platform.status.state, detach=True, on_progress=said.append)
    assert again == platform.status
    assert said == [f"the platform is up already (process {again.pid})"]
    with pytest.raises(PlatformRunningError, match=rf"runs already in .* \(process {again.pid}\)"):
        up(platform.status.state, detach=False)
    assert status(platform.status.state) == platform.status


def test_a_platform_beside_another_goes_down_without_a_trace_and_leaves_the_other_alone(
    platform: RunningPlatform, state: Path
) -> None:
    found = up(state, detach=True)
    family, others = _family(found), _family(platform.status)
    ports = _listening(*family)
    assert len(family) > 2
    assert len(ports) >= len(found.urls)
    assert not ports & _listening(*others)
    assert not {process.pid for process in family} & {process.pid for process in others}
    assert down(state) is True
    _eventually(lambda: all(_gone(process) for process in family))
    assert not ports & _listening()
    assert status(state) is None
    assert sorted(path.name for path in state.iterdir()) == ["lock", "logs"]
    with pytest.raises(PlatformDownError, match="pilotage local up"):
        read_env(state)
    assert down(state) is False
    assert all(process.is_running() for process in others)
    assert httpx.get(platform.status.slack_url).is_success


def test_nothing_outlives_a_killed_platform_with_its_pipeline_and_it_starts_again(state: Path) -> None:
    found = up(state, detach=True, pipeline=True)
    assert found.prefect_api_url == read_env(state)["PREFECT_API_URL"]
    assert httpx.get(f"{found.prefect_api_url}/health").is_success
    user, _, password = read_env(state)["PREFECT_API_AUTH_STRING"].partition(":")
    pool = httpx.get(f"{found.prefect_api_url}/work_pools/pilotage", auth=(user, password)).json()
    assert (pool["type"], pool["status"]) == ("process", "READY")
    family = _family(found)
    ports = _listening(*family)
    assert ("127.0.0.1", urlsplit(found.prefect_api_url).port) in ports
    os.kill(found.pid, signal.SIGKILL)
    _eventually(lambda: all(_gone(process) for process in family))
    assert not ports & _listening()
    assert status(state) is None
    again = up(state, detach=True)
    assert again.pid != found.pid
    assert again.prefect_api_url is None
    assert httpx.get(again.slack_url).is_success


def test_down_after_a_kill_removes_what_the_dead_platform_left(state: Path) -> None:
    found = up(state, detach=True)
    os.kill(found.pid, signal.SIGKILL)
    # A killed process counts as dead when its first thread is; its other threads keep the lock a moment longer.
    _eventually(lambda: StateFolder(state).holder() is None)
    assert down(state) is False
    assert sorted(path.name for path in state.iterdir()) == ["lock", "logs"]


def test_settings_of_the_pipeline_are_taken_over_and_stay_in_local_env(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given.env"
    given.write_text("PILOTAGE_STOP_S=7\nPILOTAGE_LEASE_S=30\nNEON_API_KEY=of-another-target\n")
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(given))
    found = up(state, detach=True)
    assert read_env(state)["PILOTAGE_STOP_S"] == "7"
    assert read_env(state)["NEON_API_KEY"] != "of-another-target"
    with (state / "local.env").open("a") as file:
        file.write("PILOTAGE_STOP_S=3\n")
    os.kill(found.pid, signal.SIGKILL)
    _eventually(lambda: StateFolder(state).holder() is None)
    up(state, detach=True)
    kept = {name: value for name, value in read_env(state).items() if name.startswith("PILOTAGE_")}
    assert kept == {"PILOTAGE_STOP_S": "3", "PILOTAGE_LEASE_S": "30"}


def test_a_platform_that_cannot_start_says_which_part_and_leaves_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_BIN", "/nowhere")
    with pytest.raises(PlatformStartError, match=r"did not come up: PostgreSQL: .*PG_BIN=/nowhere.*platform.log"):
        up(state, detach=True)
    assert status(state) is None
    assert sorted(path.name for path in state.iterdir()) == ["lock", "logs"]
