"""What goes wrong on the local platform.

```
LocalPlatformError              transient: whether the same call may work a moment later
├── BinariesMissingError        no PostgreSQL server was found on this machine
├── PlaceTakenError             a folder that the platform would use belongs to somebody else
├── CommandError                initdb, cp or pg_ctl ended with an error
├── ClusterStartError           a PostgreSQL server ended, or did not get ready in time
├── ClusterStopError            a PostgreSQL server did not end in time
├── PortTakenError              a port that was asked for is not free
├── HistoryError                a branch's history does not reach to the LSN that was asked for
├── PieceFailedError            a server or a process of the platform did not start, or ended by itself; names its log
├── PlatformRunningError        another supervisor holds the state folder
├── PlatformDownError           nothing runs in the state folder
├── PlatformStartError          the platform did not come up; all of it is stopped again
├── PlatformStuckError          a supervisor was told to stop, and did not in time
├── TrafficError                the released application cannot be used as traffic would
└── RefusedError                a request to the Neon API that the state of the project does not allow
```
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class LocalPlatformError(Exception):
    """The root of all errors of the local platform."""

    transient: bool = False


class BinariesMissingError(LocalPlatformError):
    """No PostgreSQL server was found on this machine."""

    def __init__(self, looked_at: Sequence[str]) -> None:
        self.looked_at = tuple(looked_at)
        super().__init__(
            f"no PostgreSQL server found (looked at: {', '.join(looked_at)}): install this project's dependencies, "
            "which bring one, or name the folder of an installed one's binaries in PG_BIN"
        )


class PlaceTakenError(LocalPlatformError):
    """A folder that the platform would use belongs to somebody else."""

    def __init__(self, place: Path, why: str) -> None:
        self.place = place
        super().__init__(f"{place} cannot be used: {why}; move it away and try again")


class CommandError(LocalPlatformError):
    """A program that PostgreSQL or the system brings ended with an error."""

    def __init__(self, argv: Sequence[str], returncode: int, output: str) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.output = output
        super().__init__(f"{argv[0]} ended with code {returncode}: {output.strip()[-2000:]}")


class ClusterStartError(LocalPlatformError):
    """A PostgreSQL server ended, or did not get ready in time."""

    def __init__(self, data: Path, why: str, log_tail: str) -> None:
        self.data = data
        self.log_tail = log_tail
        super().__init__(f"the PostgreSQL server on {data} {why}; the end of its log:\n{log_tail}")


class ClusterStopError(LocalPlatformError):
    """A PostgreSQL server did not end in time."""

    transient = True

    def __init__(self, data: Path, pid: int) -> None:
        self.data = data
        self.pid = pid
        super().__init__(
            f"the PostgreSQL server on {data} (process {pid}) does not end; end that process and try again"
        )


class PortTakenError(LocalPlatformError):
    """A port that was asked for is not free."""

    def __init__(self, port: int, why: str) -> None:
        self.port = port
        super().__init__(f"port {port} of 127.0.0.1 is taken: {why}")


class HistoryError(LocalPlatformError):
    """A branch's history does not reach to the LSN that was asked for."""

    def __init__(self, lsn: str, why: str) -> None:
        self.lsn = lsn
        super().__init__(f"LSN {lsn} is not in the history of the branch: {why}")


class RefusedError(LocalPlatformError):
    """A request to the Neon API that the state of the project does not allow.

    `status` is the HTTP status of the answer, `code` Neon's own code, often empty.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status = status
        self.message = message
        self.code = code
        self.transient = status in {423, 503}
        super().__init__(f"{message} ({status})")


class TrafficError(LocalPlatformError):
    """The released application cannot be used as traffic would."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"no traffic on {url}: {reason}; is a release live there?")


class PieceFailedError(LocalPlatformError):
    """A server or a process of the platform did not start, or ended by itself."""

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


class PlatformStartError(LocalPlatformError):
    """The platform did not come up; all of it is stopped again."""

    def __init__(self, state: Path, reason: str) -> None:
        self.state = state
        super().__init__(f"the local platform did not come up: {reason}")


class PlatformStuckError(LocalPlatformError):
    """A supervisor was told to stop, and did not in time."""

    def __init__(self, state: Path, pid: int, what: str) -> None:
        self.state = state
        self.pid = pid
        super().__init__(f"the platform in {state} (process {pid}) did not stop: {what}; see {state / 'logs'}")
