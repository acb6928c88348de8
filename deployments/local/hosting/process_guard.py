"""Runs one program, and ends with it everything that it started.

`python -m deployments.local.hosting.process_guard PROGRAM ARGUMENT…`

Prefect's worker starts processes, in sessions of their own, that would outlive it when it is killed. This process
adopts them (Linux) and ends them. SIGTERM asks the program to stop, and gives it ten seconds; SIGINT, which the kernel
sends when the platform has died, ends everything at once.

Source: prctl(2), PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 10
_LINUX = sys.platform == "linux"


def guard(argv: list[str]) -> int:
    """Run a program to its end, and return its exit status (128 + signal) when nothing of it is left."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    stopping = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    program = subprocess.Popen(argv, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping))  # noqa: PLW1509

    def stop(number: int, _frame: object) -> None:
        # Not Popen.send_signal: it would take the program's status, which is waited for below.
        _kill(program.pid, signal.SIGTERM if number == signal.SIGTERM else signal.SIGKILL)
        if number == signal.SIGTERM:
            signal.alarm(_GRACE_S)
        else:
            _kill_all()

    for number in stopping:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
    status = _reap_until(program.pid)
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
    sys.exit(guard(sys.argv[1:]))
