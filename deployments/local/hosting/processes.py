"""Child processes that never outlive the platform."""

from __future__ import annotations

import ctypes
import os
import pwd
import queue
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform == "linux"


@dataclass(frozen=True)
class _Order:
    argv: tuple[str, ...]
    env: Mapping[str, str] | None
    cwd: Path | None
    stdout: IO[bytes] | int | None
    user: str | None
    death_signal: signal.Signals


class Spawner:
    """Starts child processes from one thread that lives as long as this process.

    On Linux the kernel sends `death_signal` to each child when that thread ends, that is when this process ends,
    however it ends. Elsewhere the children of a killed platform stay.

    Source: prctl(2), PR_SET_PDEATHSIG: the "parent" whose end counts is the thread that created the child, and a change
    of user clears the setting.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[_Order, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: IO[bytes] | int | None = subprocess.DEVNULL,
        user: str | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> subprocess.Popen[bytes]:
        """Start a child process in a session of its own, so that Ctrl-C in the terminal does not reach it.

        Args:
            argv: The program and its arguments.
            env: The whole environment of the child; by default this process's.
            cwd: The child's working directory.
            stdout: Where its output and its errors go.
            user: Run as this user, with no other groups than its own (only root can).
            death_signal: What the child gets when this process ends (Linux).

        Returns:
            The process; wait for it and poll it from any thread.

        Raises:
            OSError: The program could not be started.
        """
        future: Future[subprocess.Popen[bytes]] = Future()
        arguments = tuple(str(argument) for argument in argv)
        self._orders.put((_Order(arguments, env, cwd, stdout, user, death_signal), future))
        return future.result()

    def _serve(self) -> None:
        while True:
            order, future = self._orders.get()
            try:
                future.set_result(_start(order))
            except BaseException as error:
                future.set_exception(error)
            del order, future


def _start(order: _Order) -> subprocess.Popen[bytes]:
    with warnings.catch_warnings():
        # From Python 3.12 on a fork with threads warns. What runs in the child before exec takes no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(
            order.argv,
            env=order.env,
            cwd=order.cwd,
            stdin=subprocess.DEVNULL,
            stdout=order.stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_prepare_child(order.user, order.death_signal),  # noqa: PLW1509
        )


def _prepare_child(user: str | None, death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what the child does between fork and exec; all that needs a look-up is looked up here, before the fork."""
    account = pwd.getpwnam(user) if user is not None else None
    if account is None and not _LINUX:
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl if _LINUX else None
    parent = os.getpid()
    signal_number = int(death_signal)

    def prepare() -> None:
        if account is not None:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)  # the parent ended before the kernel was told

    return prepare


def parent_of(pid: int) -> int:
    """The process that started another one.

    Raises:
        ProcessLookupError: there is none of that number.
    """
    if _LINUX:
        try:
            # The name of the program stands in parentheses and may hold any character.
            return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except FileNotFoundError as error:
            raise ProcessLookupError(f"there is no process {pid}") from error
    asked = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=False)
    if not asked.stdout.strip():
        raise ProcessLookupError(f"there is no process {pid}")
    return int(asked.stdout)
