"""Builds: a commit's application, checked out and run as a process with the variables of its moment."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deployments.local.errors import LocalPlatformError
from deployments.local.hosting.loopback import NO_TLS
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.servers import HttpServer
from deployments.local.hosting.spoiled_work import SpoiledWork, spoiled_work
from deployments.local.postgres.cluster import free_port
from deployments.local.releases import checkout
from deployments.local.vercel.production import RuntimeLog, Upstream, create_address_app

_START_S = 30
_STOP_S = 5


@dataclass
class Build:
    """A deployment: from QUEUED to READY or ERROR, and on until it is deleted.

    Attributes:
        environment: the variables that are baked in.
        served: whether it has ever served production.
    """

    sha: str
    ref: str
    target: str | None
    meta: dict[str, str]
    environment: dict[str, str]
    id: str = field(default_factory=lambda: f"dpl_{secrets.token_hex(12)}")
    created_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    state: str = "QUEUED"
    ready_ms: int | None = None
    error: str = ""
    served: bool = False
    lines: list[str] = field(default_factory=list[str])
    log: RuntimeLog = field(default_factory=RuntimeLog)
    url: str = ""

    def say(self, line: str) -> None:
        """Write a line of the build log."""
        self.lines.append(line)


class Builder:
    """Builds commits and runs them; every process and address ends with it.

    Args:
        repository: the git repository.
        folder: where checkouts and logs go.
        spawner: starts the processes.
        bypass_secret: what opens a build's own address.
    """

    def __init__(self, repository: Path, folder: Path, spawner: Spawner, bypass_secret: str) -> None:
        self.repository = repository
        self._folder = folder
        self._spawner = spawner
        self._bypass_secret = bypass_secret
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._addresses: dict[str, HttpServer] = {}
        self._upstreams: dict[str, Upstream] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(self, build: Build, when_ready: Callable[[Build], None] | None = None) -> None:
        """Build in the background; what is to be done with a build that is ready is done then."""
        address = HttpServer(
            f"address-{build.id}",
            create_address_app(lambda: self.upstream(build.id), bypass_secret=self._bypass_secret),
        )
        build.url = address.url
        with self._lock:
            self._addresses[build.id] = address
        address.start()
        spoiled = spoiled_work.get()
        threading.Thread(
            target=self._build, args=(build, spoiled, when_ready), name=f"build-{build.id}", daemon=True
        ).start()

    def upstream(self, build_id: str) -> Upstream | None:
        """The process of a build that is ready."""
        return self._upstreams.get(build_id)

    def delete(self, build_id: str) -> None:
        """End the process of a build, and its address."""
        with self._lock:
            self._upstreams.pop(build_id, None)
            process, address = self._processes.pop(build_id, None), self._addresses.pop(build_id, None)
        if process is not None:
            _end(process)
        if address is not None:
            address.stop()

    def close(self) -> None:
        """End everything."""
        with self._lock:
            self._closed = True
            every = [*self._addresses]
            for address in self._addresses.values():
                address.ask_to_stop()
            for process in self._processes.values():
                process.terminate()
        for build_id in every:
            self.delete(build_id)

    def _build(self, build: Build, spoiled: SpoiledWork | None, when_ready: Callable[[Build], None] | None) -> None:
        try:
            build.state = "BUILDING"
            if spoiled is not None:
                spoiled.meet()
            place = self._folder / build.id
            build.say(f"Cloning {self.repository.name} (Branch: {build.ref}, Commit: {build.sha[:7]})")
            checkout(self.repository, build.sha, "application", place)
            build.say("Starting the application")
            self._run(build, place)
            build.say("Build Completed")
            if when_ready is not None:
                when_ready(build)
            build.state, build.ready_ms = "READY", time.time_ns() // 1_000_000
        except (LocalPlatformError, OSError) as error:
            build.say(f"Error: {error}")
            build.state, build.error = "ERROR", str(error)

    def _run(self, build: Build, place: Path) -> None:
        port = free_port()
        environment = {**_inherited(), **build.environment, "PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1"}
        log = place.with_suffix(".log")
        with log.open("ab") as output:
            process = self._spawner.spawn([sys.executable, "main.py"], env=environment, cwd=place, stdout=output)
        with self._lock:
            self._processes[build.id] = process
            closed = self._closed
        if closed:
            _end(process)
            raise LocalPlatformError("the platform stops")
        url = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(url, process, log)
        with self._lock:
            self._upstreams[build.id] = Upstream(url, build.log)


def _inherited() -> Mapping[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "TZ", "HOME") if name in os.environ}


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _START_S
    with httpx.Client(trust_env=False, timeout=5, verify=NO_TLS) as client:
        while process.poll() is None and time.monotonic() < ends:
            try:
                client.get(f"{url}/api/version")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
    raise LocalPlatformError(f"the application did not start: {tail or 'it said nothing'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
