"""The guard: what a program started ends with it, in whatever way it ends."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil

GUARD = [sys.executable, "-m", "deployments.local.hosting.process_guard", sys.executable, "-c"]

# Starts a process in a session of its own, which ignores SIGTERM, and a second one below that; writes down both.
STARTS_OTHERS = """
import signal, subprocess, sys, time
from pathlib import Path
inner = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
outer = f'''
import subprocess, sys
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", {inner!r}])
Path(sys.argv[1] + ".new").write_text(str(child.pid)); Path(sys.argv[1] + ".new").rename(sys.argv[1])
child.wait()
'''
child = subprocess.Popen([sys.executable, "-c", outer, sys.argv[1]], start_new_session=True)
while not Path(sys.argv[1]).exists(): time.sleep(0.01)
"""


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _start(program: str, noted: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*GUARD, STARTS_OTHERS + textwrap.dedent(program), str(noted)], start_new_session=True)


def _family(guard: subprocess.Popen[bytes], noted: Path) -> list[psutil.Process]:
    _wait_until(noted.exists)
    family = psutil.Process(guard.pid).children(recursive=True)
    assert int(noted.read_text()) in {process.pid for process in family}
    return family


def test_everything_ends_when_the_program_ends_and_its_status_is_passed_on(tmp_path: Path) -> None:
    guard = _start("sys.exit(7)", tmp_path / "pid")
    assert guard.wait(20) == 7
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_everything_ends_at_once_when_the_platform_has_died(tmp_path: Path) -> None:
    guard = _start("signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)", tmp_path / "pid")
    family = _family(guard, tmp_path / "pid")
    assert len(family) == 3
    guard.send_signal(signal.SIGINT)
    guard.wait(20)
    assert not any(process.is_running() for process in family)


def test_a_program_asked_to_stop_may_finish_first(tmp_path: Path) -> None:
    goodbye = tmp_path / "goodbye"
    guard = _start(
        f"""
        def finish(*_):
            Path({str(goodbye)!r}).touch()
            sys.exit(0)
        signal.signal(signal.SIGTERM, finish)
        Path({str(tmp_path / "listens")!r}).touch()
        time.sleep(600)
        """,
        tmp_path / "pid",
    )
    _wait_until((tmp_path / "listens").exists)
    family = _family(guard, tmp_path / "pid")
    guard.terminate()
    assert guard.wait(20) == 0
    assert goodbye.exists()
    assert not any(process.is_running() for process in family)


def test_everything_ends_when_the_program_is_killed(tmp_path: Path) -> None:
    guard = _start("time.sleep(600)", tmp_path / "pid")
    family = _family(guard, tmp_path / "pid")
    program = next(process for process in family if process.ppid() == guard.pid)
    program.kill()
    assert guard.wait(20) == 128 + signal.SIGKILL
    assert not any(process.is_running() for process in family)


def test_what_a_killed_program_started_goes_on_beside_the_one_that_is_started_again(tmp_path: Path) -> None:
    """As systemd does it: a worker that is killed does not take its runs with it."""
    noted, starts = tmp_path / "pid", tmp_path / "starts"
    program = f"""
    with Path({str(starts)!r}).open("a") as lines: print(child.pid, file=lines)
    time.sleep(600)
    """
    guard = subprocess.Popen(
        [*GUARD[:-2], "--restart", *GUARD[-2:], STARTS_OTHERS + textwrap.dedent(program), str(noted)],
        start_new_session=True,
    )
    _wait_until(lambda: starts.exists() and starts.read_text().count("\n") == 1)
    settled = time.monotonic() + 5.5
    family = psutil.Process(guard.pid).children(recursive=True)
    killed = next(process for process in family if process.ppid() == guard.pid)
    others = [process for process in family if process != killed]
    # Killed sooner than this, a program counts as one that could not be started.
    _wait_until(lambda: time.monotonic() > settled)
    killed.kill()
    _wait_until(lambda: starts.read_text().count("\n") == 2)
    assert len(others) == 2
    assert all(process.is_running() for process in others)
    family = psutil.Process(guard.pid).children(recursive=True)
    assert {*others} < {*family}
    guard.terminate()
    assert guard.wait(20) == 128 + signal.SIGTERM
    assert not any(process.is_running() for process in family)
