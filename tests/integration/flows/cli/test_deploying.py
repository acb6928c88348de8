"""The flows registered with a Prefect server: what it has registered is printed, and what stops it is told."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.ledger import Ledger
from deployments.local.postgres.cluster import free_port
from flows.cli.console.automations import FILE, install_automations
from flows.cli.console.command_errors import CommandFailed
from flows.cli.console.deploying import deploy_flows
from flows.cli.console.locations import REPOSITORY_ROOT
from tasks import connections
from tasks.steps import dead_runs
from tests.integration.deployments.ledger.test_ledger import begin
from tests.integration.deployments.ledger.test_ledger_commands import SETTINGS

KEY = "pilotage:a-key-of-this-test"
NAMES = (
    "release/release",
    "rollback/rollback",
    "recover/recover",
    "rehearse/rehearse",
    "drift-check/drift-check",
    "watchdog/watchdog",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a Prefect server that asks for a key, and has no work pool."""
    port = free_port()
    app = ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    env = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_AUTH_STRING": KEY,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *app], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    api = f"http://127.0.0.1:{port}/api"
    try:
        ends = time.monotonic() + 180
        while not answers(api):
            assert process.poll() is None, "it ended before its time"
            assert time.monotonic() < ends
            time.sleep(0.2)
        yield api
    finally:
        process.kill()
        process.wait()


def answers(api: str) -> bool:
    try:
        return ask(api, "GET", "/health").is_success
    except httpx.HTTPError:
        return False


def ask(api: str, method: str, path: str, body: object = None) -> httpx.Response:
    user, _, password = KEY.partition(":")
    ends = time.monotonic() + 60
    while True:
        said = httpx.request(method, api + path, json=body, auth=(user, password), timeout=60, trust_env=False)
        # Its SQLite is locked while another request writes; Prefect's own clients ask again, too.
        if said.status_code != 503 or time.monotonic() > ends:
            return said
        time.sleep(0.2)


def state_of(folder: Path, api: str, key: str = KEY, retries: int = 5) -> Path:
    """The folder of a platform whose settings name a server and a key."""
    (folder / "local.env").write_text(
        f"PREFECT_API_URL={api}\nPREFECT_API_AUTH_STRING={key}\nPREFECT_HOME={folder / 'home'}\n"
        f"PREFECT_CLIENT_MAX_RETRIES={retries}\nPILOTAGE_HOME={REPOSITORY_ROOT}\n"
    )
    return folder


def refusal(state: Path, project: Path = REPOSITORY_ROOT) -> str:
    with pytest.raises(CommandFailed) as caught:
        deploy_flows(state, project=project)
    told = str(caught.value)
    assert "Traceback" not in told
    assert KEY not in told
    return told


def test_a_server_that_does_not_answer_is_told_with_its_log(tmp_path: Path) -> None:
    api = f"http://127.0.0.1:{free_port()}/api"
    told = refusal(state_of(tmp_path, api, retries=0))
    assert f"the Prefect server at {api} does not answer: look at {tmp_path / 'logs' / 'prefect-server.log'}" in told
    assert "`pilotage local up --pipeline`" in told


def test_a_key_that_is_refused_is_told_with_the_file_that_has_it(server: str, tmp_path: Path) -> None:
    told = refusal(state_of(tmp_path, server, "pilotage:another"))
    assert f"at {server} refuses the key: PREFECT_API_AUTH_STRING in {tmp_path / 'local.env'}" in told
    assert "another" not in told


def test_a_file_that_cannot_be_read_is_told_with_its_place(server: str, tmp_path: Path) -> None:
    state = state_of(tmp_path, server)
    file = tmp_path / "prefect.yaml"
    assert f"{file} cannot be read: [Errno 2] No such file or directory" in refusal(state, tmp_path)
    file.write_text("deployments: [a: : b")
    told = refusal(state, tmp_path)
    assert f"{file} cannot be read: while parsing a flow node" in told
    assert "line 1, column 18; mend it" in told


def installed(api: str, folder: Path, key: str = KEY) -> subprocess.CompletedProcess[str]:
    """The outcome of `pilotage install`."""
    given = {"PREFECT_API_URL": api, "PREFECT_API_AUTH_STRING": key, "PREFECT_HOME": str(folder / "home")}
    pilotage = Path(sys.executable).parent / "pilotage"
    env = os.environ | given
    return subprocess.run([pilotage, "install"], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_nothing_is_installed_where_the_server_or_its_flows_are_missing(server: str, tmp_path: Path) -> None:
    refused = installed("", tmp_path)
    assert (refused.returncode, "set PREFECT_API_URL" in refused.stderr) == (1, True), refused.stderr
    refused = installed(server, tmp_path, "pilotage:another-key")
    assert refused.returncode == 1
    assert "check PREFECT_API_URL and PREFECT_API_AUTH_STRING" in " ".join(refused.stderr.split())
    refused = installed(server, tmp_path)
    assert refused.returncode == 1
    assert "run `prefect --no-prompt deploy --all` in this folder first" in " ".join(refused.stderr.split())


def test_a_pool_that_is_missing_is_named_and_what_was_registered_is_printed(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = state_of(tmp_path, server)
    told = refusal(state)
    assert f"at {server} has no work pool pilotage, which prefect.yaml names: make it" in told
    assert "--base-job-template deployments/work-pool.json" in told
    ask(server, "POST", "/work_pools/", {"name": "pilotage", "type": "process"}).raise_for_status()
    # What stops it at a flow names those before it, too.
    (tmp_path / "flows").mkdir()
    shutil.copy(REPOSITORY_ROOT / "prefect.yaml", tmp_path)
    (tmp_path / "flows" / "release.py").write_text("from prefect import flow\n@flow\ndef release(): ...\n")
    told = refusal(state, tmp_path)
    assert "No such file or directory: 'flows/rollback.py'" in told
    assert told.endswith("; registered before that: release/release")
    capsys.readouterr()
    deploy_flows(state)
    assert capsys.readouterr().out == f"  flows deployed: {', '.join(NAMES)}\n"
    for name in NAMES:
        assert ask(server, "GET", f"/deployments/name/{name}").is_success


def test_runs_of_what_is_scheduled_are_made_by_themselves(server: str, tmp_path: Path) -> None:
    ask(server, "POST", "/work_pools/", {"name": "pilotage", "type": "process"})
    deploy_flows(state_of(tmp_path, server))
    ends = time.monotonic() + 120
    for name in NAMES[4:]:
        deployment = ask(server, "GET", f"/deployments/name/{name}").json()["id"]
        while runs_of(server, deployment) < 2:
            assert time.monotonic() < ends, f"{name} is not scheduled"
            time.sleep(0.5)


@pytest.mark.parametrize("state", ["CRASHED", "CANCELLED"])
def test_run_that_is_cut_off_starts_the_recovery_once_however_often_it_was_installed(
    state: str, server: str, tmp_path: Path
) -> None:
    ask(server, "POST", "/work_pools/", {"name": "pilotage", "type": "process"})
    for _ in range(2):
        deploy_flows(state_of(tmp_path, server))
    recover, release, drift = (
        ask(server, "GET", f"/deployments/name/{name}").json()["id"] for name in (NAMES[2], NAMES[0], NAMES[4])
    )
    begun = runs_of(server, recover)
    for deployment in (release, drift):
        given = {"parameters": {"request": {"ref": "v2"}}} if deployment == release else {}
        made = ask(server, "POST", f"/deployments/{deployment}/create_flow_run", given)
        assert made.is_success, made.text
        run = made.json()["id"]
        for kind in ("RUNNING", state):
            given = {"state": {"type": kind}, "force": True}
            ask(server, "POST", f"/flow_runs/{run}/set_state", given).raise_for_status()
    ends = time.monotonic() + 60
    while runs_of(server, recover) == begun:
        assert time.monotonic() < ends, "the recovery was not started"
        time.sleep(0.5)
    time.sleep(3)
    assert runs_of(server, recover) == begun + 1


def runs_of(server: str, deployment: str) -> int:
    found = ask(server, "POST", "/flow_runs/count", {"deployments": {"id": {"any_": [deployment]}}})
    return int(found.raise_for_status().json())


def test_what_the_server_starts_by_itself_is_installed_once_however_often_it_is_asked_for(
    server: str, tmp_path: Path
) -> None:
    ask(server, "POST", "/work_pools/", {"name": "pilotage", "type": "process"})
    deploy_flows(state_of(tmp_path, server))
    for _ in range(2):
        done = installed(server, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        where = "where a run of release, rollback, recover is Crashed or Cancelled\n"
        assert f"installed at {server}: `pilotage recovery` starts recover/recover {where}" in done.stdout
    found = ask(server, "POST", "/automations/filter", {}).json()
    assert sorted(one["name"] for one in found) == ["pilotage recovery", "pilotage recovery after silence"]


def test_run_that_gives_no_sign_of_life_any_more_starts_the_recovery_and_one_that_ended_does_not(
    server: str, tmp_path: Path
) -> None:
    ask(server, "POST", "/work_pools/", {"name": "pilotage", "type": "process"})
    deploy_flows(state_of(tmp_path, server))
    file = tmp_path / "automations.yaml"
    file.write_text(FILE.read_text().replace("silent_for_s: 400", "silent_for_s: 10"))
    with using(server), get_client(sync_client=True) as client:
        install_automations(client, file)
    recover = ask(server, "GET", f"/deployments/name/{NAMES[2]}").json()["id"]
    begun = settled_runs_of(server, recover)
    ended = str(uuid4())
    emit(server, str(uuid4()), "release", "heartbeat")
    emit(server, ended, "release", "heartbeat")
    # The server's consumers take events side by side: an end that overtakes the sign of life before it is no end of it.
    time.sleep(3)
    emit(server, ended, "release", "Completed")
    emit(server, str(uuid4()), "drift-check", "heartbeat")
    ends = time.monotonic() + 90
    while runs_of(server, recover) == begun:
        assert time.monotonic() < ends, "the recovery was not started"
        time.sleep(0.5)
    time.sleep(15)
    assert runs_of(server, recover) == begun + 1


def settled_runs_of(server: str, deployment: str) -> int:
    """How many runs a deployment has, once what an earlier test has set going brings no more."""
    known, since = runs_of(server, deployment), time.monotonic()
    while time.monotonic() - since < 8:
        time.sleep(0.5)
        if (now := runs_of(server, deployment)) != known:
            known, since = now, time.monotonic()
    return known


def using(server: str) -> AbstractContextManager[object]:
    """Let Prefect's own client use the server."""
    return temporary_settings({PREFECT_API_URL: server, PREFECT_API_AUTH_STRING: KEY})


def emit(server: str, run: str, flow: str, event: str) -> None:
    """Tell the server of a run what Prefect's engine tells of it."""
    of = {"prefect.resource.id": f"prefect.flow.{uuid4()}", "prefect.resource.role": "flow"}
    told = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": f"prefect.flow-run.{event}",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [{**of, "prefect.resource.name": flow}],
    }
    ask(server, "POST", "/events", [told]).raise_for_status()


def test_recovery_that_the_watchdog_starts_is_one_run_a_try_and_a_run_whose_process_died_stops_none(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(server, "POST", "/work_pools/", {"name": "pilotage", "type": "process"})
    deploy_flows(state_of(tmp_path, server))
    for name, value in {**SETTINGS, "LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}"}.items():
        monkeypatch.setenv(name, value)
    recover = ask(server, "GET", f"/deployments/name/{NAMES[2]}").json()["id"]
    wanted = {"deployments": {"id": {"any_": [recover]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    for left in ask(server, "POST", "/flow_runs/filter", wanted).json():
        ask(server, "DELETE", f"/flow_runs/{left['id']}").raise_for_status()
    begun = runs_of(server, recover)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger, using(server):
        target = connections.settings().target
        release = begin(ledger, target=target, lease_s=-1)
        dead = dead_runs.find_dead_run.fn()
        assert dead is not None
        assert (dead.release.id, dead.tries, dead_runs.is_under_way.fn(dead)) == (release.id, (), False)
        for _ in range(2):
            dead_runs.start_recovery.fn(dead)
        assert runs_of(server, recover) == begun + 1
        assert dead_runs.is_under_way.fn(dead)
        # It takes the release, and its process dies with the worker's: Prefect says that it runs.
        runs = ask(server, "POST", "/flow_runs/filter", wanted).json()
        (run,) = (one["id"] for one in runs if one["parameters"] == {"release_id": release.id})
        set_state = {"state": {"type": "RUNNING"}, "force": True}
        ask(server, "POST", f"/flow_runs/{run}/set_state", set_state).raise_for_status()
        assert dead_runs.is_under_way.fn(dead)
        ledger.take_over(release.id, -1, flow_run_id=run)
        dead = dead_runs.find_dead_run.fn()
        assert dead is not None
        assert (len(dead.tries), dead.release.fence, dead_runs.is_under_way.fn(dead)) == (1, 2, False)
        dead_runs.start_recovery.fn(dead)
        assert runs_of(server, recover) == begun + 2
