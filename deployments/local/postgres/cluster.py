"""A PostgreSQL cluster: a folder, and the server that runs on it."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, LiteralString
from urllib.parse import quote

import psycopg

from deployments.local.errors import ClusterStartError, ClusterStopError, CommandError, LocalPlatformError
from deployments.local.hosting.installation import (
    binaries,
    copy_tree,
    data_root,
    give_to_server,
    remove_data_root,
    run,
    server_user,
)
from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster_template import START_FILE, SUPERUSER, template

__all__ = ["Cluster", "binaries", "data_root", "dsn", "free_port", "is_free", "remove_data_root"]

logger = logging.getLogger(__name__)

_POLL_S = 0.005


def dsn(port: int, *, user: str, password: str, database: str) -> str:
    """Return the URL of a database on this machine."""
    return f"postgresql://{quote(user)}:{quote(password)}@127.0.0.1:{port}/{quote(database)}?sslmode=disable"


def free_port() -> int:
    """Return a port that nobody listens on, outside the range that the system gives to outgoing connections.

    A server that restarts on its port would otherwise find it taken, now and then, by somebody's outgoing connection.
    """
    for _ in range(200):
        port = random.randint(20_000, 32_000)  # noqa: S311
        if is_free(port):
            return port
    raise LocalPlatformError("no free port found between 20000 and 32000 on 127.0.0.1")


class Cluster:
    """A PostgreSQL cluster: a folder with its `data`, the `archive` of its WAL, its log and superuser password."""

    def __init__(self, folder: Path, *, spawner: Spawner) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.archive = folder / "archive"
        self.spawner = spawner
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    @classmethod
    def create(cls, folder: Path, *, spawner: Spawner) -> Cluster:
        """Make a new, empty cluster.

        Args:
            folder: Where it will lie; in a data root, and not there yet.
            spawner: What its server will be started by.

        Returns:
            The cluster, not started.
        """
        source = template(binaries(), folder.parent / "template")
        cluster = cls.adopt(folder, spawner=spawner, password=(source / "superuser").read_text(encoding="ascii"))
        copy_tree(source / "data", target=cluster.data)
        return cluster

    @classmethod
    def adopt(cls, folder: Path, *, spawner: Spawner, password: str) -> Cluster:
        """Make the folder of a cluster whose data will be put there."""
        cluster = cls(folder, spawner=spawner)
        for place in (folder, cluster.archive):
            place.mkdir(mode=0o700)
            give_to_server(place)
        secret = folder / "superuser"
        secret.touch(mode=0o600)
        secret.write_text(password, encoding="ascii")
        return cluster

    @property
    def running(self) -> bool:
        """Whether its server runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int:
        """The port of its running server."""
        if self._port is None:
            raise LocalPlatformError(f"the PostgreSQL server on {self.data} is not started")
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of its server, when it was started."""
        return self._process.pid if self._process is not None else None

    @property
    def superuser_password(self) -> str:
        """The password of the cluster's superuser."""
        return (self.folder / "superuser").read_text(encoding="ascii")

    def superuser_dsn(self, database: str = "postgres") -> str:
        """Return the URL by which the platform itself connects."""
        return dsn(self.port, user=SUPERUSER, password=self.superuser_password, database=database)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Connect as the superuser, in autocommit."""
        return psycopg.connect(self.superuser_dsn(database), autocommit=True, connect_timeout=10)

    def scalar(self, query: LiteralString, *arguments: object) -> object:
        """Return the only value that a statement, run as the superuser, yields; None where it yields no row."""
        with self.connect() as connection:
            cursor = connection.execute(query, arguments)
            row = cursor.fetchone() if cursor.description is not None else None
        return row[0] if row else None

    def start(
        self, port: int, *, durable: bool = False, settings: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> None:
        """Start the server and wait until it takes queries.

        Args:
            port: Where it listens, on 127.0.0.1.
            durable: Whether commits outlive a crash of the machine, not only one of the server.
            settings: Further settings for this start alone; the values are quoted here.
            timeout_s: How long it may take.

        Raises:
            ClusterStartError: It ended, or was not ready in time; then it is stopped.
        """
        if self.running:
            return
        self._end_leftover()
        self.configure(port, durable=durable, settings=settings)
        with (self.folder / "server.log").open("ab") as log:
            try:
                self._process = self.spawner.spawn(
                    [binaries() / "postgres", "-D", self.data],
                    cwd=self.data,
                    env=server_environment(),
                    stdout=log,
                    user=server_user(),
                    death_signal=signal.SIGQUIT,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise ClusterStartError(self.data, f"could not be started: {error}", "(none)") from error
        self._port = port
        self._wait_until_ready(timeout_s)

    def configure(self, port: int, *, durable: bool = False, settings: Mapping[str, str] | None = None) -> None:
        """Write what holds from the next start on; `start` does it by itself."""
        onoff = "on" if durable else "off"
        chosen = {"port": str(port), "fsync": onoff, **(settings or {})}
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in chosen.items()]
        (self.data / START_FILE).write_text("".join(lines), encoding="utf-8")
        give_to_server(self.data / START_FILE)

    def foreign_pid(self) -> int | None:
        """The process id of a server on this data that another process started; None where none runs."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        # After a reboot the number may be anybody's.
        return pid if str(self.data) in _command_of(pid) else None

    def stop(self, mode: Literal["fast", "immediate"] = "fast", *, timeout_s: float = 30) -> None:
        """Stop the server: `fast` ends all sessions and writes a checkpoint, `immediate` leaves that to the next start.

        Raises:
            ClusterStopError: It does not end, not even without a checkpoint.
        """
        process, self._process = self._process, None
        self._port = None
        if process is None:
            return
        signals = [signal.SIGINT, signal.SIGQUIT] if mode == "fast" else [signal.SIGQUIT]
        for number in signals:
            process.send_signal(number)
            if _ends_within(process, timeout_s):
                return
        self._process = process
        raise ClusterStopError(self.data, process.pid)

    def log_tail(self) -> str:
        """Return the end of the server's log."""
        try:
            return (self.folder / "server.log").read_bytes()[-3000:].decode("utf-8", "replace")
        except FileNotFoundError:
            return "(no log)"

    def _wait_until_ready(self, timeout_s: float) -> None:
        """Wait until our own server, on our own data, is out of recovery.

        Another server may hold the port, and one that still replays answers with rows that are not all there yet.
        """
        process = self._process
        deadline = time.monotonic() + timeout_s
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError), self.connect() as connection:
                row = connection.execute("SELECT current_setting('data_directory'), pg_is_in_recovery()").fetchone()
                if row is not None and Path(str(row[0])).resolve() == self.data.resolve() and row[1] is False:
                    return
            time.sleep(_POLL_S)
        ended = process is not None and process.poll() is not None
        with contextlib.suppress(ClusterStopError):
            self.stop("immediate")
        raise ClusterStartError(self.data, "ended" if ended else f"was not ready within {timeout_s} s", self.log_tail())

    def _end_leftover(self) -> None:
        """End a server of a platform that was killed where children are not told (not on Linux), or still ends."""
        pid = self.foreign_pid()
        deadline = time.monotonic() + 30
        while pid is not None and str(self.data) in _command_of(pid):
            if time.monotonic() > deadline:
                raise ClusterStopError(self.data, pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)
            time.sleep(0.05)


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _command_of(pid: int) -> str:
    """Return the command line of a process, which is empty where there is no such process."""
    try:
        if sys.platform == "linux":
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
        return run(["ps", "-o", "command=", "-p", str(pid)])
    except (OSError, CommandError):
        return ""


def server_environment() -> dict[str, str]:
    """Return the environment of a server: nothing of the user's PG* variables or locale."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _ends_within(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
