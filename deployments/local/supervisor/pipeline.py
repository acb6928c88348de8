"""Prefect's own parts as processes of the local platform: a server, a work pool and a worker."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from deployments.local.errors import PieceFailedError
from deployments.local.hosting.loopback import NO_TLS
from deployments.local.hosting.processes import Spawner

WORK_POOL = "pilotage"
JOB_TEMPLATE = Path(__file__).parents[2] / "work-pool.json"

_log = logging.getLogger(__name__)
_SERVER_START_S = 180
_WORKER_START_S = 90
_STOP_S = 15
LOGGERS = "flows,tasks,migrations,deployments"
_TRIES = 3


class Pipeline:
    """Starts Prefect's server, then the pool, then a worker; stops them in the opposite order.

    Args:
        spawner: starts the processes, so that none outlives the platform.
        home: Prefect's home, kept from one start to the next.
        logs: the folder of the logs.
        clone: the worker's working directory, where the flows are.
        environment: what the worker is given beside Prefect's own settings.
        settings: the file from which each run takes what its worker was not given.
    """

    def __init__(
        self, spawner: Spawner, *, home: Path, logs: Path, clone: Path, environment: Mapping[str, str], settings: Path
    ) -> None:
        self._spawner = spawner
        self._home = home
        self._logs = logs
        self._clone = clone
        self._environment = environment
        self._settings_file = settings
        self._processes: list[_Process] = []
        self._key = f"pilotage:{secrets.token_urlsafe(32)}"
        self.api_url: str | None = None

    @property
    def access(self) -> dict[str, str]:
        """The settings by which a program may use Prefect's API; none where it does not run."""
        return _access(self.api_url, self._key) if self.api_url else {}

    def start(self) -> str:
        """Start what does not run yet, and return Prefect's API address once the worker asks for work.

        Raises:
            PieceFailedError: a part ended or was not ready in time.
        """
        if self.api_url is None:
            try:
                api_url = self._start_server()
                self._create_pool(api_url)
                self._start_worker(api_url)
            except BaseException:
                self.stop()
                raise
            self.api_url = api_url
        return self.api_url

    def stop(self) -> None:
        """Stop the worker, with the runs it has, and the server."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
        self.api_url = None

    def _start_server(self) -> str:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        failure: PieceFailedError | None = None
        for _ in range(_TRIES):
            port = _free_port()
            api_url = f"http://127.0.0.1:{port}/api"
            program = (sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
            settings = {**self._settings(api_url), **server_settings(api_url, self._key)}
            server = self._run("Prefect's server", "prefect-server.log", program, settings)
            try:
                server.wait_until(lambda url=api_url: _answers(f"{url}/health"), _SERVER_START_S)
            except PieceFailedError as error:
                # Somebody else may have taken the port that was free a moment ago.
                server.stop()
                self._processes.remove(server)
                failure = error
            else:
                return api_url
        raise failure or PieceFailedError("Prefect's server", "it was not started")

    def _create_pool(self, api_url: str) -> None:
        template = json.loads(JOB_TEMPLATE.read_text(encoding="utf-8"))
        body = {"name": WORK_POOL, "type": "process", "base_job_template": template}
        try:
            reply = self._ask(f"{api_url}/work_pools/", body)
        except httpx.HTTPError as error:
            raise PieceFailedError("the work pool", f"Prefect's server did not answer: {error}") from error
        if not reply.is_success and reply.status_code != httpx.codes.CONFLICT.value:
            raise PieceFailedError(
                "the work pool", f"Prefect's server answered {reply.status_code}: {reply.text[:200]}"
            )

    def _start_worker(self, api_url: str) -> None:
        # A name of its own, so that a worker of an earlier start is not taken for this one.
        name = f"local-{uuid.uuid4().hex[:8]}"
        program = ("--restart", sys.executable, "-m", "flows.cli", "worker", "--name", name, "--pool", WORK_POOL)
        # The worker keeps its runs in one folder under the temporary one, whoever's it is: each platform has its own.
        temporary = self._home / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        settings = {**self._settings(api_url), **self._environment, "PILOTAGE_HOME": str(self._clone)}
        settings["PREFECT_LOGGING_EXTRA_LOGGERS"] = LOGGERS
        settings["TMPDIR"] = str(temporary)
        settings["PILOTAGE_ENV_FILE"] = str(self._settings_file)
        worker = self._run("Prefect's worker", "prefect-worker.log", program, settings)
        worker.wait_until(lambda: self._is_online(api_url, name), _WORKER_START_S)

    def _is_online(self, api_url: str, worker: str) -> bool:
        try:
            reply = self._ask(f"{api_url}/work_pools/{WORK_POOL}/workers/filter", {})
        except httpx.HTTPError:
            return False
        return reply.is_success and any(one["name"] == worker and one["status"] == "ONLINE" for one in reply.json())

    def _ask(self, url: str, body: Mapping[str, object]) -> httpx.Response:
        user, _, password = self._key.partition(":")
        return httpx.post(url, json=body, auth=(user, password), timeout=30, trust_env=False, verify=NO_TLS)

    def _run(self, name: str, log: str, program: tuple[str, ...], settings: Mapping[str, str]) -> _Process:
        guarded = [sys.executable, "-m", "deployments.local.hosting.process_guard", *program]
        process = _Process(name, self._logs / log, self._spawner, guarded, settings, self._clone)
        self._processes.append(process)
        return process

    def _settings(self, api_url: str) -> dict[str, str]:
        # Settings of Prefect from the caller's shell would lead to another server, or another home.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return {**inherited, **prefect_settings(api_url, self._home, self._key)}


def _access(api_url: str, key: str) -> dict[str, str]:
    return {"PREFECT_API_URL": api_url, "PREFECT_API_AUTH_STRING": key}


def server_settings(api_url: str, key: str) -> dict[str, str]:
    """Return what makes Prefect's server answer those alone who have the key, and pages of its own address alone."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": key,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": api_url.removesuffix("/api"),
    }


def prefect_settings(api_url: str, home: Path, key: str) -> dict[str, str]:
    """Return the environment in which Prefect's programs use a platform's server, and tell nobody about it."""
    return {
        **_access(api_url, key),
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
        "PREFECT_CLI_PROMPT": "false",
        # At least 30 seconds: the server judges a run dead by the heartbeats that it misses.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The pages call this address; without it they would call port 4200.
        "PREFECT_UI_API_URL": api_url,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }


class _Process:
    """A program behind the guard, with its log."""

    def __init__(
        self, name: str, log: Path, spawner: Spawner, argv: list[str], environment: Mapping[str, str], cwd: Path
    ) -> None:
        self._name = name
        self._log = log
        with log.open("wb") as output:
            self._child = spawner.spawn(argv, env=environment, cwd=cwd, stdout=output, death_signal=signal.SIGINT)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if self._child.poll() is not None:
                raise self._failed(f"it ended with status {self._child.returncode}")
            if time.monotonic() > deadline:
                raise self._failed(f"it was not ready after {seconds:.0f} s")
            time.sleep(0.1)
        if self._child.poll() is not None:
            # Somebody else answers there.
            raise self._failed(f"it ended with status {self._child.returncode}")

    def stop(self) -> None:
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            _log.warning("%s did not stop when asked to; it is ended", self._name)
            self._child.send_signal(signal.SIGINT)
            self._child.wait(_STOP_S)

    def _failed(self, reason: str) -> PieceFailedError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return PieceFailedError(self._name, reason, log=self._log, tail="\n".join(lines[-8:]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False, verify=NO_TLS).is_success
    except httpx.HTTPError:
        return False
