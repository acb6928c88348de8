"""The local platform from outside: bring it up, take it down, see whether it runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deployments.local.errors import (
    LocalPlatformError,
    PieceFailedError,
    PlatformDownError,
    PlatformRunningError,
    PlatformStartError,
    PlatformStuckError,
)
from deployments.local.hosting.loopback import NO_TLS
from deployments.local.hosting.state import PlatformStatus, StateFolder

__all__ = ["LocalPlatformError", "PlatformStatus", "down", "read_env", "status", "up"]

CLONE = Path(__file__).resolve().parents[3]

_PIPELINE_S = 300
_STOP_S = 60
_KILL_S = 15


def up(
    state: Path,
    *,
    detach: bool,
    pipeline: bool = False,
    on_progress: Callable[[str], None] | None = None,
    on_up: Callable[[], None] = lambda: None,
) -> PlatformStatus:
    """Bring the platform up, afresh: what an earlier one left in the folder is removed.

    Args:
        state: its state folder; platforms with different ones do not meet.
        detach: return when it is up, and leave it to a process of its own; where one is up already, it is that one.
            Otherwise run it here, in the main thread, until SIGTERM or SIGINT.
        pipeline: with Prefect's server and a worker.
        on_progress: told what is done, a line at a time.
        on_up: called once all is up, before it is waited for or left.

    Returns:
        What is up; without `detach`, what was.

    Raises:
        PlatformRunningError: another process holds the folder, and is not up or was not asked to be found.
        PlatformStartError: a part, which is named, did not start; all others are stopped again.
        PieceFailedError: the same, without `detach`; or Prefect's parts did not start.
    """
    tell = on_progress or _say_nothing
    if not detach:
        # Its web server takes a fifth of the time that a command needs to start, and the others do without.
        from deployments.local.supervisor.supervisor import supervise

        return supervise(StateFolder(state), pipeline=pipeline, tell=tell, up=on_up)
    running = status(state)
    if running is None:
        try:
            _start_detached(StateFolder(state), pipeline=pipeline, tell=tell)
        except KeyboardInterrupt:
            down(state)
            raise
        running = status(state)
    else:
        tell(f"the platform is up already (process {running.pid})")
    if running is None:
        raise PlatformDownError(state)
    if pipeline and running.prefect_api_url is None:
        running = _start_pipeline(running)
    on_up()
    return running


def down(state: Path) -> bool:
    """Stop the platform, and remove what it leaves, but its logs and what others wrote to the folder.

    Returns:
        False if none ran; then what a dead one left is removed.

    Raises:
        PlatformStuckError: its process or a port of it is still there.
    """
    folder = StateFolder(state)
    described = folder.described()
    pid = folder.holder()
    if pid is not None:
        _end(folder, pid)
    if described is not None:
        _see_that_nothing_answers(folder, described)
    # Nobody starts one here meanwhile.
    if folder.path.exists():
        lock = folder.take()
        folder.clean()
        os.close(lock)
    return pid is not None


def status(state: Path) -> PlatformStatus | None:
    """Return the platform that is up in a state folder; None where none is, or not yet."""
    folder = StateFolder(state)
    pid = folder.holder()
    described = folder.described()
    return described if described is not None and described.pid == pid else None


def read_env(state: Path) -> dict[str, str]:
    """Return the settings by which the product finds a platform.

    Raises:
        PlatformDownError: none is up.
    """
    environment = StateFolder(state).read_environment()
    if not environment:
        raise PlatformDownError(state)
    return environment


def _say_nothing(line: str) -> None:
    del line


def _start_detached(folder: StateFolder, *, pipeline: bool, tell: Callable[[str], None]) -> None:
    """Start the supervisor as a daemon that leads its session, and follow it over a pipe until it is up."""
    pid = folder.holder()
    if pid is not None:
        raise PlatformRunningError(folder.path, pid)
    folder.make()
    log = folder.logs / "supervisor.log"
    reading, writing = os.pipe()
    argv = [sys.executable, "-m", "deployments.local", "--state", str(folder.path), "--detach-fd", str(writing)]
    with os.fdopen(reading, encoding="utf-8") as reports:
        try:
            with log.open("wb") as output:
                subprocess.run(
                    [*argv, *(["--pipeline"] if pipeline else [])],
                    pass_fds=(writing,),
                    cwd=CLONE,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    check=False,
                )
        finally:
            os.close(writing)
        for line in reports:
            report = json.loads(line)
            if "failed" in report:
                raise PlatformStartError(folder.path, str(report["failed"]))
            if "up" in report:
                return
            tell(str(report["progress"]))
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
    raise PlatformStartError(folder.path, f"its process ended; its log is {log}\n{tail}")


def _start_pipeline(running: PlatformStatus) -> PlatformStatus:
    try:
        reply = httpx.post(f"{running.control_url}/pipeline", timeout=_PIPELINE_S, trust_env=False, verify=NO_TLS)
    except httpx.HTTPError as error:
        raise PieceFailedError("Prefect", f"the platform's supervisor did not answer: {error}") from error
    if not reply.is_success:
        raise PieceFailedError("Prefect", reply.text)
    return PlatformStatus.model_validate_json(reply.content)


def _end(folder: StateFolder, pid: int) -> None:
    """Ask a supervisor to stop, and after a minute make it."""
    for number, seconds in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _KILL_S)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if folder.holder() != pid:
                return
            time.sleep(0.05)
    raise PlatformStuckError(folder.path, pid, "its process is still there")


def _see_that_nothing_answers(folder: StateFolder, described: PlatformStatus) -> None:
    deadline = time.monotonic() + _KILL_S
    for url in described.urls:
        while _answers(url):
            if time.monotonic() > deadline:
                raise PlatformStuckError(folder.path, described.pid, f"{url} still answers")
            time.sleep(0.05)


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((parts.hostname or "", parts.port or 0)) == 0
