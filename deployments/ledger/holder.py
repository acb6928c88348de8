"""Who holds a release: a process, named so that its death can be told from its silence."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Literal

HolderState = Literal["alive", "gone", "unknown"]

UNKNOWN = "unknown"


def current_holder() -> str:
    """This process as `host:pid:start`.

    Returns:
        A name that no other process has: pids come again, a start within one boot and pid namespace does not.
    """
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_world()}.{_started(pid) or UNKNOWN}"


def holder_state(holder: str) -> HolderState:
    """Whether a holder still runs, as far as this machine can tell.

    Args:
        holder: As `current_holder` named it.

    Returns:
        `gone` only where it is certain: the same host, boot and pid namespace, and no such process or a younger one.
        `unknown` for a process elsewhere.
    """
    try:
        host, pid_text, start = holder.rsplit(":", 2)
        pid = int(pid_text)
    except ValueError:
        return "unknown"
    world, _, started = start.rpartition(".")
    if (host, world) != (socket.gethostname(), _world()):
        return "unknown"
    if not _may_exist(pid):
        return "gone"
    seen = _started(pid)
    if seen is None or started == UNKNOWN:
        return "unknown"
    return "alive" if seen == started else "gone"


def tell_to_stop(holder: str) -> bool:
    """Send SIGTERM to a holder that is certain to be a process of this machine, and to live.

    Returns:
        Whether it was sent.
    """
    if holder_state(holder) != "alive":
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(int(holder.rsplit(":", 2)[1]), signal.SIGTERM)
        return True
    return False


@cache
def _world() -> str:
    """The boot and pid namespace in which a pid means something; empty where the system does not tell."""
    parts: list[str] = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "-".join(parts)


def _may_exist(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process started, in the system's own words; `dead` for a zombie; None where it cannot be told."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return "dead" if fields[0] in {"Z", "X"} else fields[19]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5, check=True
        )
        return "".join(told.stdout.split()).replace(":", "").replace(".", "") or None
    return None
