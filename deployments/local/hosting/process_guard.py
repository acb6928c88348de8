"""Runs one program, and ends with the platform everything that it started.

`python -m deployments.local.hosting.process_guard [--restart] PROGRAM ARGUMENT…`

Prefect's worker starts processes, in sessions of their own, that outlive it when it is killed. This process adopts
them (Linux). SIGTERM asks the program to stop, and gives it ten seconds; SIGINT, which the kernel sends when the
platform has died, ends everything at once. Where the program ends by itself, what it started ends with it; with
`--restart` that goes on, and the program is started again, as systemd does with `Restart=always` and
`KillMode=process`.

Source: prctl(2), PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 10
_RESTART_S = 2
# A program that ends sooner than this could not be started.
_SETTLED_S = 5
_LINUX = sys.platform == "linux"


def guard(argv: list[str], *, restarts: bool = False) -> int:
    """Run a program to its end, and return its exit status (128 + signal) when nothing of it is left.

    Args:
        argv: the program and its arguments.
        restarts: start it again where it ends without having been asked to, after it had run for a while.
    """
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    stopping = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}
    running: list[int] = []
    asked: list[int] = []

    def stop(number: int, _frame: object) -> None:
        asked.append(number)
        # Not Popen.send_signal: it would take the program's status, which is waited for below.
        for pid in running:
            _kill(pid, signal.SIGTERM if number == signal.SIGTERM else signal.SIGKILL)
        if number == signal.SIGTERM:
            signal.alarm(_GRACE_S)
        else:
            _kill_all()

    for number in stopping:
        signal.signal(number, stop)
    status = 0
    while not asked:
        signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
        program = subprocess.Popen(
            argv,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping),  # noqa: PLW1509
        )
        running.append(program.pid)
        began = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
        status = _reap_until(program.pid)
        running.clear()
        if not restarts or time.monotonic() - began < _SETTLED_S:
            break
        again = time.monotonic() + _RESTART_S
        while not asked and time.monotonic() < again:
            time.sleep(0.05)
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    _kill_all()
    _reap_until(None)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _reap_until(pid: int | None) -> int:
    """Wait for children, adopted ones too, until a given one or the last has ended; return the status of that one."""
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return 0
        if ended == pid:
            return status


def _kill_all() -> None:
    """Kill every descendant; those that appear meanwhile are found in the next round."""
    known: set[int] = set()
    while fresh := _descendants() - known:
        known |= fresh
        for pid in fresh:
            _kill(pid, signal.SIGKILL)


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _descendants() -> set[int]:
    """Return the processes below this one (Linux; elsewhere there is no list to read)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat") if _LINUX else ():
        try:
            # The name of the program stands in parentheses and may hold any character.
            after_name = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(after_name[1])
    below: set[int] = set()
    layer = {os.getpid()}
    while layer := {pid for pid, parent in parents.items() if parent in layer} - below:
        below |= layer
    return below


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(guard(given[1:], restarts=True) if given[0] == "--restart" else guard(given))
