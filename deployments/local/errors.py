"""Errors of the local platform.

LocalPlatformError
├── PieceFailedError        a server, cluster or process of the platform did not start, or ended; says where its log is
├── PlatformRunningError    another supervisor holds this state folder
├── PlatformDownError       nothing runs where something is needed
└── PlatformStuckError      a supervisor did not stop in time
"""

from __future__ import annotations

from pathlib import Path


class LocalPlatformError(Exception):
    """Root of all errors of the local platform."""

    transient: bool = False


class PieceFailedError(LocalPlatformError):
    """A part of the platform did not start, or ended by itself."""

    def __init__(self, piece: str, reason: str, *, log: Path | None = None, tail: str = "") -> None:
        self.piece = piece
        self.reason = reason
        self.log = log
        where = f"; its log is {log}" if log else ""
        super().__init__(f"{piece}: {reason}{where}" + (f"\n{tail}" if tail else ""))


class PlatformRunningError(LocalPlatformError):
    """Another supervisor holds the state folder."""

    def __init__(self, state: Path, pid: int | None) -> None:
        self.state = state
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"a platform runs already in {state} ({who}); stop it with `pilotage local down --state {state}`, "
            "or choose another folder with --state"
        )


class PlatformDownError(LocalPlatformError):
    """Nothing runs in the state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        super().__init__(f"no platform runs in {state}; start one with `pilotage local up --detach --state {state}`")


class PlatformStuckError(LocalPlatformError):
    """A supervisor was told to stop, and did not in time."""

    def __init__(self, state: Path, pid: int, what: str) -> None:
        self.state = state
        self.pid = pid
        super().__init__(f"the platform in {state} (process {pid}) did not stop: {what}; see {state / 'logs'}")
