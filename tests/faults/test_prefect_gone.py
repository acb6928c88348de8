"""A release whose worker and whose Prefect server die under it: it is decided by what it is, and told all the same."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from deployments.ledger import Ledger, Release
from deployments.local.postgres.cluster import free_port
from deployments.local.supervisor.running import RunningPlatform

WAIT_S = 600.0
RUN = """
from flows.release import release
from tasks.values import ReleaseRequest
release(ReleaseRequest(ref="v1", watch_seconds=15))
"""


def until(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for something that a process brings about."""
    ends = time.monotonic() + WAIT_S
    while not there():
        assert process.poll() is None, "it ended before its time"
        assert time.monotonic() < ends
        time.sleep(0.2)


@pytest.fixture
def environment(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path: Path
) -> Iterator[tuple[RunningPlatform, dict[str, str]]]:
    """A platform with an empty production, and the variables of a worker over it."""
    with bring_up() as platform:
        yield (
            platform,
            {
                **os.environ,
                **platform.env,
                "PILOTAGE_CACHE_FOLDER": str(tmp_path / "cache"),
                "PILOTAGE_P95_LIMIT_MS": "10000",
                "PREFECT_HOME": str(tmp_path / "prefect"),
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                # Its client asks a server that is gone five times, waiting a minute in all, at each of its requests.
                "PREFECT_CLIENT_MAX_RETRIES": "2",
            },
        )


@pytest.fixture
def prefect(environment: tuple[RunningPlatform, dict[str, str]]) -> Iterator[subprocess.Popen[bytes]]:
    """A Prefect server of this test's own, which it may kill."""
    _, variables = environment
    port = free_port()
    app = ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    argv = [sys.executable, "-m", "uvicorn", *app]
    server = subprocess.Popen(argv, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    variables["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    try:
        until(lambda: answers(variables["PREFECT_API_URL"]), server)
        yield server
    finally:
        server.kill()
        server.wait()


def answers(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_a_release_outlives_its_worker_and_its_prefect_server(
    environment: tuple[RunningPlatform, dict[str, str]], prefect: subprocess.Popen[bytes]
) -> None:
    platform, variables = environment
    read, write = os.pipe()
    run = subprocess.Popen([sys.executable, "-c", RUN], env=variables, stdout=write, stderr=write)
    os.close(write)
    try:
        with Ledger.open(variables["LEDGER_URL"]) as ledger:

            def newest() -> Release | None:
                return next(iter(ledger.releases(limit=1)), None)

            def begun(step: str) -> bool:
                row = newest()
                return row is not None and step in {one.step for one in ledger.steps(row.id)}

            os.set_blocking(read, False)
            until(lambda: bool(drained(read)) and begun("plan"), run)
            # The worker is gone, and with it whoever read what the run says.
            os.close(read)
            until(lambda: begun("watch production"), run)
            prefect.kill()
            run.wait(WAIT_S)
            done = newest()
            assert done is not None
            assert (done.state, done.summary) == ("succeeded", "release succeeded: v1 serves at 20250122_1030")
            noted = [one.step for one in ledger.steps(done.id) if one.event == "noted"]
            assert "the report could not be published" in noted
    finally:
        run.kill()
        run.wait()
    assert [message["text"] for message in platform.slack_messages()] == ["Release of v1 succeeded"]


def drained(read: int) -> bool:
    """Read what there is, as a worker does, so that the run never waits for its reader."""
    try:
        while os.read(read, 65_536):
            pass
    except BlockingIOError:
        return True
    return True
