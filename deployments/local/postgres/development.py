"""A PostgreSQL server for one developer: it outlives the command that starts it, and is found again by the next."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from pydantic import BaseModel, ConfigDict, SecretStr, field_serializer

from deployments.local.errors import ClusterStartError, ClusterStopError, CommandError, PortTakenError
from deployments.local.hosting.installation import binaries, data_root, remove_data_root, run
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.state import quoted, write_private
from deployments.local.postgres.cluster import Cluster, dsn, free_port, is_free, server_environment
from deployments.local.postgres.cluster_template import SUPERUSER
from deployments.local.postgres.provisioning import Login, provision

_DATABASE = "development"
_OWNER = "developer"
_APP = "application"
_WAIT_S = 60


@dataclass(frozen=True)
class DevelopmentDatabase:
    """A development database.

    Attributes:
        port: where its server listens, on 127.0.0.1, now and at each later start.
        pid: the server's process; None where it does not run.
        owner_dsn: for the role that migrates.
        app_dsn: for the role of the application.
        app_role: that role.
    """

    port: int
    pid: int | None
    log: Path
    app_role: str
    owner_dsn: str = field(repr=False)
    app_dsn: str = field(repr=False)


class _Record(BaseModel):
    """What is kept of a database that was made; whoever has no record may not have told anybody of it."""

    model_config = ConfigDict(frozen=True)

    port: int
    binaries: Path
    owner_password: SecretStr
    app_password: SecretStr

    @field_serializer("owner_password", "app_password")
    def _revealed(self, value: SecretStr) -> str:
        return value.get_secret_value()


def up(state: Path, *, port: int | None = None) -> DevelopmentDatabase:
    """Bring the development database up, made at the first call; one that is up stays as it is.

    Args:
        state: its folder; databases with different ones do not meet.
        port: where it listens from now on; by default where it did before, or at first a free one.

    Raises:
        PortTakenError: somebody else listens there, or it runs on another port.
        ClusterStartError: the server did not start.
        LocalPlatformError: this machine has no PostgreSQL, or the folder cannot be used.
    """
    with _alone(state):
        cluster, record = _made(state, port)
        if cluster.foreign_pid() is None:
            record = _at_port(state, record, port)
            _start(cluster, record)
        elif port not in {None, record.port}:
            raise PortTakenError(record.port, "the development database runs there: `pilotage db down` stops it first")
        return _described(cluster, record)


def down(state: Path, *, remove: bool = False) -> bool:
    """Stop the development database.

    Args:
        state: its folder.
        remove: delete it, with all its rows.

    Returns:
        Whether it ran.

    Raises:
        ClusterStopError: it does not end.
    """
    if not state.exists():
        return False
    with _alone(state):
        cluster = _cluster(state)
        ran = _stop(cluster)
        if remove:
            remove_data_root(state)
            for file in (_record_file(state), environment_file(state)):
                file.unlink(missing_ok=True)
    return ran


def status(state: Path) -> DevelopmentDatabase | None:
    """Return the development database of a folder; None where none was made."""
    record = _read(state)
    return _described(_cluster(state), record) if record is not None else None


def environment_file(state: Path) -> Path:
    """Return the file that names the database for other commands, beside its folder."""
    return state.with_name(f"{state.name}.env")


@contextmanager
def _alone(state: Path) -> Generator[None]:
    """Let one command at a time make, start or stop it; the next waits."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _cluster(state: Path) -> Cluster:
    return Cluster(data_root(state) / _DATABASE, spawner=Spawner())


def _made(state: Path, port: int | None) -> tuple[Cluster, _Record]:
    cluster, record = _cluster(state), _read(state)
    if record is not None and cluster.data.is_dir():
        return cluster, record
    # What a killed command left half made holds no rows of anybody's.
    _stop(cluster)
    remove_data_root(state)
    record = _Record(
        port=port or free_port(),
        binaries=binaries(),
        owner_password=SecretStr(secrets.token_urlsafe(18)),
        app_password=SecretStr(secrets.token_urlsafe(18)),
    )
    _refuse_taken(record.port)
    cluster = Cluster.create(data_root(state) / _DATABASE, spawner=cluster.spawner)
    _start(cluster, record)
    _provision(cluster, record)
    _write(state, record)
    return cluster, record


def _provision(cluster: Cluster, record: _Record) -> None:
    owner = Login(_OWNER, record.owner_password.get_secret_value())
    app = Login(_APP, record.app_password.get_secret_value())
    superuser = dsn(record.port, user=SUPERUSER, password=cluster.superuser_password, database="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        provision(connection, database=_DATABASE, owner=owner, app=app)


def _at_port(state: Path, record: _Record, port: int | None) -> _Record:
    wanted = record.model_copy(update={"port": port}) if port is not None else record
    _refuse_taken(wanted.port)
    if wanted != record:
        _write(state, wanted)
    return wanted


def _refuse_taken(port: int) -> None:
    if not is_free(port):
        raise PortTakenError(port, "somebody else listens there: name another (--port), or end that server")


def _start(cluster: Cluster, record: _Record) -> None:
    """Start the server by pg_ctl, which detaches it, and wait until it takes queries."""
    cluster.configure(record.port, durable=True, settings={"archive_mode": "off"})
    log = cluster.folder / "server.log"
    # Data of one version are nothing to another one's server, whatever PG_BIN says today.
    made_by = record.binaries if (record.binaries / "pg_ctl").exists() else binaries()
    argv: list[str | Path] = [made_by / "pg_ctl", "start", "--wait", f"--timeout={_WAIT_S}", "--silent"]
    try:
        run([*argv, "--pgdata", cluster.data, "--log", log], as_server=True, env=server_environment())
    except CommandError as error:
        raise ClusterStartError(cluster.data, "did not start", f"{cluster.log_tail()}\n{error.output}") from error


def _stop(cluster: Cluster) -> bool:
    pid = cluster.foreign_pid()
    if pid is None:
        return False
    argv: list[str | Path] = [binaries() / "pg_ctl", "stop", "--wait", f"--timeout={_WAIT_S}", "--mode=fast"]
    try:
        run([*argv, "--silent", "--pgdata", cluster.data], as_server=True, env=server_environment())
    except CommandError as error:
        if cluster.foreign_pid() is not None:
            raise ClusterStopError(cluster.data, pid) from error
    # The file of the process goes a moment before the process.
    deadline = time.monotonic() + _WAIT_S
    while cluster.foreign_pid() is not None:
        if time.monotonic() > deadline:
            raise ClusterStopError(cluster.data, pid)
        time.sleep(0.02)
    return True


def _described(cluster: Cluster, record: _Record) -> DevelopmentDatabase:
    owner, app = record.owner_password.get_secret_value(), record.app_password.get_secret_value()
    return DevelopmentDatabase(
        port=record.port,
        pid=cluster.foreign_pid(),
        log=cluster.folder / "server.log",
        app_role=_APP,
        owner_dsn=dsn(record.port, user=_OWNER, password=owner, database=_DATABASE),
        app_dsn=dsn(record.port, user=_APP, password=app, database=_DATABASE),
    )


def _record_file(state: Path) -> Path:
    return state / "database.json"


def _read(state: Path) -> _Record | None:
    try:
        return _Record.model_validate_json(_record_file(state).read_bytes())
    except FileNotFoundError:
        return None


def _write(state: Path, record: _Record) -> None:
    write_private(_record_file(state), record.model_dump_json(indent=2) + "\n")
    made = _described(_cluster(state), record)
    urls = {"DATABASE_URL": made.owner_dsn, "DATABASE_URL_POOLED": made.app_dsn}
    write_private(environment_file(state), "".join(f"{name}={quoted(url)}\n" for name, url in urls.items()))
