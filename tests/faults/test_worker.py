"""The worker of a real Prefect server is stopped or killed under a release: the run ends in order, or without it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import psycopg
import pytest

from deployments.ledger import Release
from deployments.local.hosting.faults import Fault
from deployments.local.supervisor.platform import down
from deployments.local.supervisor.running import RunningPlatform
from deployments.local.traffic.run import run_traffic
from deployments.settings import Settings
from tasks import connections

HOUSE = Path(__file__).parents[2]
WAIT_S = 240.0
V2: dict[str, object] = {"request": {"ref": "v2", "watch_seconds": 5, "reset_staging": True}}


def until(there: Callable[[], bool]) -> None:
    """Wait for something that the worker's runs bring about."""
    ends = time.monotonic() + WAIT_S
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.05)


@dataclass
class Line:
    """A platform with Prefect's server and a worker.

    Attributes:
        platform: the platform.
        settings: the settings of its target.
        told: how many of Slack's messages are known already.
    """

    platform: RunningPlatform
    settings: Settings
    told: int = 0

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Ask Prefect's server, again where its database was busy."""
        user, _, password = self.platform.env["PREFECT_API_AUTH_STRING"].partition(":")
        for _ in range(20):
            url = self.platform.env["PREFECT_API_URL"] + path
            answer = httpx.request(method, url, json=body, auth=(user, password), timeout=60, trust_env=False)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE.value:
                return answer.raise_for_status().json()
            time.sleep(0.5)
        raise AssertionError(f"{method} {path} was never answered")

    def start(self, flow: str, parameters: dict[str, object], act: str) -> tuple[UUID, Release]:
        """Start a run, and wait until it is in an act."""
        before = self.newest()
        self.told = len(self.platform.slack_messages())
        deployment = self.ask("GET", f"/deployments/name/{flow}/{flow}")
        run = self.ask("POST", f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
        until(lambda: (row := self.newest()) is not None and row != before and (act, "begun") in self.acts(row))
        row = self.newest()
        assert row is not None
        return UUID(str(run["id"])), row

    def newest(self) -> Release | None:
        """The newest row of the ledger."""
        with connections.ledger(self.settings) as ledger:
            return next(iter(ledger.releases(target=self.settings.target, limit=1)), None)

    def acts(self, row: Release) -> list[tuple[str, str]]:
        """The acts of a row, with what became of each."""
        with connections.ledger(self.settings) as ledger:
            return [(str(one.step), one.event) for one in ledger.steps(row.id)]

    def ended(self, row: Release) -> Release:
        """A row once it is closed."""
        until(lambda: (found := self.newest()) is not None and found.id == row.id and found.state != "running")
        found = self.newest()
        assert found is not None
        return found

    def state(self, run: UUID) -> str:
        """The state of a run, once it is a final one."""
        names: list[str] = []

        def is_final() -> bool:
            names.append(str(self.ask("GET", f"/flow_runs/{run}")["state_type"]))
            return names[-1] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

        until(is_final)
        return names[-1]

    def heard(self, many: int) -> list[str]:
        """What Slack was told since the last run was started, once it is so much."""
        until(lambda: len(self.platform.slack_messages()) >= self.told + many)
        return [str(message["text"]) for message in self.platform.slack_messages()[self.told :]]

    def processes(self, *words: str) -> list[psutil.Process]:
        """The processes of the platform whose command begins so."""
        found: list[psutil.Process] = []
        for one in psutil.Process(self.platform.status.pid).children(recursive=True):
            # One that has ended and is not collected yet has no command any more.
            with suppress(psutil.Error):
                if one.cmdline()[1 : 1 + len(words)] == list(words):
                    found.append(one)
        return found

    def worker(self) -> psutil.Process:
        """The worker, once there is one."""
        until(lambda: len(self.processes("-m", "flows.cli", "worker")) == 1)
        return self.processes("-m", "flows.cli", "worker")[0]

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold back a revision: somebody works on the table that it alters."""
        dsn = connections.owner_dsn(self.settings, connections.production_branch(self.settings))
        with psycopg.connect(dsn) as connection:
            connection.execute("LOCK TABLE audit_logs IN ROW EXCLUSIVE MODE")
            yield

    @contextmanager
    def written_to_local_env(self, setting: str) -> Generator[None]:
        """Let a line stand in the platform's local.env while a block runs."""
        file = self.platform.status.state / "local.env"
        before = file.read_text()
        file.write_text(f"{before}{setting}\n")
        try:
            yield
        finally:
            file.write_text(before)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    state = tmp_path_factory.mktemp("worker")
    argv = [Path(sys.executable).parent / "pilotage", "local", "up", "--detach", "--pipeline", "--state", state]
    policy = {
        "PILOTAGE_CACHE_FOLDER": str(state / "cache"),
        "PILOTAGE_P95_LIMIT_MS": "10000",
        "PILOTAGE_BLOCKING_BUDGET_MS": "10000",
        "PILOTAGE_MINIMUM_REQUESTS": "20",
        "PREFECT_HOME": str(state / "home"),
        "DO_NOT_TRACK": "1",
    }
    try:
        subprocess.run(argv, cwd=HOUSE, env={**os.environ, **policy}, check=True)
        with pytest.MonkeyPatch.context() as patch:
            platform = RunningPlatform(state)
            for name, value in platform.env.items():
                patch.setenv(name, value)
            yield Line(platform, connections.settings())
    finally:
        down(state)


@pytest.fixture
def v1(line: Line) -> None:
    """Let v1 serve, where it does not yet."""
    if line.newest() is None:
        _, row = line.start("release", {"request": {"ref": "v1", "watch_seconds": 5}}, "promote")
        assert line.ended(row).state == "succeeded"
        line.heard(1)


def test_worker_that_is_told_to_stop_lets_its_run_finish_the_act_and_the_next_one_finishes_the_release(
    line: Line,
) -> None:
    line.platform.fault("vercel", Fault(method="POST", path="/promote/", when="after", delay_s=4))
    run, row = line.start("release", {"request": {"ref": "v1", "watch_seconds": 5}}, "promote")
    worker = line.worker()
    worker.terminate()
    ended = line.ended(row)
    assert ended.state == "succeeded", ended.summary
    assert line.state(run) == "CRASHED"
    assert not worker.is_running()
    acts = line.acts(row)
    at = acts.index(("promote", "begun"))
    assert acts[at : at + 4] == [
        ("promote", "begun"),
        ("promote", "done"),
        ("told to stop", "noted"),
        ("recovery", "noted"),
    ]
    assert line.heard(3) == ["Release of v1 was told to stop", "Recovery of v1 begins", "Release of v1 succeeded"]


@pytest.mark.generated_fault
def test_run_that_is_cancelled_while_its_revision_waits_is_recovered_and_leaves_production_as_it_was(
    line: Line, v1: None
) -> None:
    with line.locked():
        run, row = line.start("release", V2, "migrate production")
        line.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
        until(lambda: ("told to stop", "noted") in line.acts(row))
    ended = line.ended(row)
    assert line.state(run) == "CANCELLED"
    assert ("build production", "begun") not in line.acts(row)
    assert ended.state == "rolled_back", ended.summary
    assert line.heard(2)[:2] == ["Release of v2 was told to stop", "Recovery of v2 begins"]


@pytest.fixture
def users(line: Line, v1: None, tmp_path: Path) -> Iterator[None]:
    """Users at work: without them nobody could tell whether a release is good."""
    stop, file = threading.Event(), tmp_path / "acknowledged.txt"
    with ThreadPoolExecutor(max_workers=1) as pool:
        url = connections.production_url(line.settings)
        pool.submit(run_traffic, url, users=12, rate=30.0, seconds=900.0, acknowledged=file, stop=stop)
        try:
            yield
        finally:
            stop.set()


@pytest.mark.generated_fault
@pytest.mark.parametrize("act", ["migrate production", "watch production"])
def test_worker_that_is_killed_leaves_its_run_alone(line: Line, users: None, act: str) -> None:
    with line.locked():
        run, row = line.start("release", V2, "migrate production")
        if act == "migrate production":
            _kill_worker_alone(line)
    if act == "watch production":
        until(lambda: (act, "begun") in line.acts(row))
        _kill_worker_alone(line)
    ended = line.ended(row)
    assert (line.state(run), line.heard(1)) == ("COMPLETED", ["Release of v2 succeeded"]), ended.summary

    line.platform.fault("neon", Fault(method="POST", path="/restore$", when="after", delay_s=3))
    run, row = line.start("rollback", {"release_id": row.id, "way": "data"}, "restore production")
    _kill_worker_alone(line)
    ended = line.ended(row)
    assert (ended.state, line.state(run)) == ("rolled_back", "COMPLETED"), ended.summary
    assert line.heard(2) == ["Rollback of v2 begins", "Release of v2 was rolled back"]


@pytest.mark.generated_fault
def test_run_that_is_killed_with_its_worker_is_ended_in_prefect_once_it_is_recovered(line: Line, v1: None) -> None:
    with line.locked():
        run, row = line.start("release", V2, "migrate production")
        line.worker().kill()
        for one in line.processes("-m", "prefect.engine"):
            one.kill()
    # The watchdog would find it within a minute.
    deployment = line.ask("GET", "/deployments/name/recover/recover")
    line.ask("POST", f"/deployments/{deployment['id']}/create_flow_run", {})
    assert line.state(run) == "CRASHED"
    state = line.ask("GET", f"/flow_runs/{run}")["state"]
    assert isinstance(state, dict)
    assert state["name"] == "Recovered"
    ended = line.ended(row)
    assert ended.summary in state["message"]


def test_run_that_is_cancelled_once_its_worker_was_killed_is_stopped_and_recovered(line: Line, v1: None) -> None:
    # The watchdog comes once a minute, and leaves a worker twenty seconds: by then the revision has to wait still.
    with line.written_to_local_env("PILOTAGE_MIGRATION_BUDGET_S=200"), line.locked():
        run, row = line.start("release", V2, "migrate production")
        _kill_worker_alone(line)
        line.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
        until(lambda: ("told to stop", "noted") in line.acts(row))
    ended = line.ended(row)
    assert ended.state == "rolled_back", ended.summary
    assert ("cancelled, and told to stop by the watchdog", "noted") in line.acts(row)
    assert ("build production", "begun") not in line.acts(row)
    assert line.state(run) in {"CANCELLED", "CRASHED"}
    assert line.heard(3) == ["Release of v2 was told to stop", "Recovery of v2 begins", "Release of v2 was rolled back"]


def test_runs_go_by_the_settings_that_somebody_writes_to_local_env(line: Line, v1: None) -> None:
    with line.written_to_local_env("PILOTAGE_MIGRATION_BUDGET_S=2"), line.locked():
        _, row = line.start("release", V2, "migrate production")
        ended = line.ended(row)
    assert ended.state == "rolled_back", ended.summary
    with connections.ledger(line.settings) as ledger:
        failed = [one for one in ledger.steps(row.id) if (one.step, one.event) == ("migrate production", "failed")]
    assert [str(one.details["error"]) for one in failed if "got no lock in 2 s" in str(one.details)], failed


def _kill_worker_alone(line: Line) -> None:
    """SIGKILL, as by the kernel; another is started, and the run is the same process as before."""
    runs = line.processes("-m", "prefect.engine")
    assert runs
    line.worker().send_signal(signal.SIGKILL)
    line.worker()
    assert {*runs} <= {*line.processes("-m", "prefect.engine")}
