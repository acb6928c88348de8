"""Base backups of a cluster, taken online, and clusters recovered from them up to an LSN.

A cluster keeps its bases in `bases/`, each named after the LSN at which it is consistent. A base and the WAL of the
cluster, archived or not, make any later state of the cluster again, exact to the commit.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from deployments.local.errors import CommandError, HistoryError
from deployments.local.hosting.installation import binaries, copy_tree, give_to_server, run
from deployments.local.postgres.cluster import Cluster, free_port
from deployments.local.postgres.cluster_template import START_FILE

_LEFT_OUT = frozenset(
    {"pg_wal", "pg_replslot", "postmaster.pid", "postmaster.opts", "postgresql.auto.conf", START_FILE}
    | {"backup_label", "backup_label.old", "tablespace_map", "recovery.signal", "current_logfiles"}
)
_ORIGIN = "origin"


@dataclass(frozen=True)
class Base:
    """A copy of a cluster's data from which every state at or after `end_lsn` can be made."""

    cluster: Cluster
    folder: Path
    end_lsn: int

    @property
    def self_contained(self) -> bool:
        """Whether it was taken of a stopped cluster, and so needs no recovery."""
        return not (self.folder / "backup_label").exists()


def parse_lsn(text: str) -> int:
    """Return an LSN as the number of bytes of WAL before it.

    Raises:
        ValueError: It is not written as PostgreSQL does.
    """
    found = re.fullmatch(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", text)
    if found is None:
        raise ValueError(f"{text!r} is no LSN, such as 0/1A2B3C4D")
    return int(found[1], 16) << 32 | int(found[2], 16)


def format_lsn(lsn: int) -> str:
    """Return an LSN as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def bases(cluster: Cluster) -> tuple[Base, ...]:
    """Return the bases that a cluster keeps, oldest first."""
    folder = cluster.folder / "bases"
    found = sorted(place for place in folder.glob("*") if re.fullmatch(r"[0-9A-F]{16}", place.name))
    return tuple(Base(cluster, place, int(place.name, 16)) for place in found)


def newest_lsn(cluster: Cluster) -> int:
    """Return the LSN before which everything lies that the cluster has acknowledged until now.

    A stopped cluster is made to shut down cleanly first, where it did not.
    """
    if cluster.running:
        return parse_lsn(str(cluster.scalar("SELECT pg_current_wal_insert_lsn()")))
    return _shutdown_lsn(cluster)


def take_base(cluster: Cluster) -> Base:
    """Take a base of a cluster; a running one goes on, and nobody is disconnected.

    Locks: none.
    """
    folder = cluster.folder / "bases"
    folder.mkdir(mode=0o700, exist_ok=True)
    give_to_server(folder)
    fresh = folder / f".new-{time.monotonic_ns()}"
    fresh.mkdir(mode=0o700)
    give_to_server(fresh)
    for name in ("pg_wal", "pg_wal/archive_status", "pg_wal/summaries", "pg_replslot"):
        (fresh / name).mkdir(mode=0o700)
        give_to_server(fresh / name)
    end_lsn = _copy_running(cluster, fresh) if cluster.running else _copy_stopped(cluster, fresh)
    place = folder / f"{end_lsn:016X}"
    if place.exists():
        shutil.rmtree(fresh)  # nothing was written since
    else:
        fresh.rename(place)
    return Base(cluster, place, end_lsn)


def drop_bases_before(cluster: Cluster, lsn: int) -> None:
    """Forget the history of a cluster before an LSN: older bases and the WAL that only they need."""
    kept = [base for base in bases(cluster) if base.end_lsn <= lsn]
    for base in kept[:-1]:
        shutil.rmtree(base.folder)
    if len(kept) > 1:
        (cluster.folder / _ORIGIN).unlink(missing_ok=True)
        first = _first_segment(kept[-1])
        for segment in cluster.archive.glob("[0-9A-F]*"):
            # The first 8 digits are the timeline; the others order the segments of all of them.
            if re.fullmatch(r"[0-9A-F]{24}", segment.name) and segment.name[8:] < first[8:]:
                segment.unlink()


def base_for(cluster: Cluster, lsn: int) -> Base:
    """Return the newest base from which the cluster's state at an LSN can be made.

    Raises:
        HistoryError: The LSN is before the history that is kept.
    """
    fitting = [base for base in bases(cluster) if base.end_lsn <= lsn]
    if fitting:
        return fitting[-1]
    origin = cluster.folder / _ORIGIN
    if origin.exists():
        name, until = origin.read_text(encoding="ascii").split()
        before = Cluster(cluster.folder.parent / name, spawner=cluster.spawner)
        if lsn <= parse_lsn(until) and before.folder.exists():
            return base_for(before, lsn)
    raise HistoryError(format_lsn(lsn), "it lies before the oldest state that is kept")


def recover(
    source: Cluster, lsn: int, folder: Path, *, port: int | None = None, durable: bool = False, replaces: bool = False
) -> Cluster:
    """Make a cluster in the state that another had at an LSN, and start it.

    Every transaction whose commit record begins before the LSN is there, and none whose commit record begins at it or
    after. The source goes on, and nobody is disconnected.

    Args:
        source: The cluster whose history is read, running or not.
        lsn: Where the new cluster begins to differ from it.
        folder: Where the new cluster will lie: beside the source's folder, and not there yet.
        port: Where it listens; by default on a free port.
        durable: Whether the new cluster is to outlive a crash of the machine.
        replaces: Whether the new cluster goes on where the source was, so that the source's history is its own.

    Returns:
        The new cluster, running, on a timeline of its own, with a base of its own.

    Raises:
        HistoryError: The LSN is ahead of the source, or before the history that is kept.
        ClusterStartError: The recovery failed.

    Source: recovery_target_inclusive off stops before the first record that begins at the target; recovery ends with an
    error where no such record follows, so one is written.
    """
    newest = newest_lsn(source)
    if lsn > newest:
        raise HistoryError(format_lsn(lsn), f"the branch has only come to {format_lsn(newest)}")
    if not source.running and not bases(source):
        take_base(source)
    base = base_for(source, lsn)
    if source.running:
        source.scalar("SELECT pg_logical_emit_message(true, 'pilotage', 'restore point')")
    cluster = Cluster.adopt(folder, spawner=source.spawner, password=source.superuser_password)
    copy_tree(base.folder, target=cluster.data)
    settings: dict[str, str] = {}
    if base.end_lsn < lsn or not base.self_contained:
        signal_file = cluster.data / "recovery.signal"
        signal_file.touch(mode=0o600)
        give_to_server(signal_file)
        settings = _recovery_settings(base.cluster, cluster, lsn)
    cluster.start(port or free_port(), durable=durable, settings=settings, timeout_s=600)
    if replaces:
        (folder / _ORIGIN).write_text(f"{base.cluster.folder.name} {format_lsn(lsn)}", encoding="ascii")
    return cluster


def _recovery_settings(source: Cluster, target: Cluster, lsn: int) -> dict[str, str]:
    return {
        "restore_command": _restore_command(source, target),
        "recovery_target_lsn": format_lsn(lsn),
        "recovery_target_inclusive": "off",
        "recovery_target_timeline": "current",
        "recovery_target_action": "promote",
        "hot_standby": "off",
    }


def _restore_command(source: Cluster, target: Cluster) -> str:
    """Return the shell command that brings a WAL segment: archived, not archived yet, or archived just now."""
    place = os.path.relpath(source.folder, target.data)
    places = (f"{place}/archive", f"{place}/data/pg_wal", f"{place}/archive")
    return " || ".join(f'cp "{folder}/%f" "%p" 2>/dev/null' for folder in places)


def _copy_running(cluster: Cluster, fresh: Path) -> int:
    with cluster.connect() as connection:
        connection.execute("SELECT pg_backup_start('pilotage', true)")
        _copy_files(cluster.data, fresh)
        row = connection.execute("SELECT lsn, labelfile FROM pg_backup_stop(false)").fetchone()
    if row is None:
        raise HistoryError("?", "the backup did not end")
    label = fresh / "backup_label"
    label.write_text(str(row[1]), encoding="utf-8")
    label.chmod(0o600)
    give_to_server(label)
    return parse_lsn(str(row[0]))


def _copy_stopped(cluster: Cluster, fresh: Path) -> int:
    end_lsn = _shutdown_lsn(cluster)
    _copy_files(cluster.data, fresh)
    copy_tree(cluster.data / "pg_wal" / _redo_segment(cluster.data), target=fresh / "pg_wal")
    return end_lsn


def _copy_files(data: Path, fresh: Path) -> None:
    """Copy a data folder that may change meanwhile: what vanished is fine, what was replaced is copied again."""
    entries: list[str | Path] = [entry.path for entry in os.scandir(data) if entry.name not in _LEFT_OUT]
    lines: list[str] = []
    try:
        copy_tree(*entries, target=fresh)
    except CommandError as error:
        lines = error.output.splitlines()
    for line in lines:
        replaced = re.search(r"skipping file '(.+)', as it was replaced", line)
        if replaced is not None:
            _copy_again(Path(replaced[1]), fresh / Path(replaced[1]).relative_to(data))
        elif "No such file or directory" not in line:
            raise CommandError(["cp", str(data)], 1, "\n".join(lines))


def _copy_again(source: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(source, target)
        target.chmod(0o600)
        give_to_server(target)


def _shutdown_lsn(cluster: Cluster) -> int:
    """Return where the last checkpoint of a stopped cluster lies: what came before is in its files."""
    facts = _control_data(cluster.data)
    if facts["Database cluster state"] != "shut down":
        cluster.start(free_port())
        cluster.stop()
        facts = _control_data(cluster.data)
    return parse_lsn(facts["Latest checkpoint location"])


def _control_data(data: Path) -> dict[str, str]:
    lines = run([binaries() / "pg_controldata", data], as_server=True).splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _redo_segment(data: Path) -> str:
    return _control_data(data)["Latest checkpoint's REDO WAL file"]


def _first_segment(base: Base) -> str:
    """Return the name of the first WAL segment that a base needs."""
    if base.self_contained:
        return _redo_segment(base.folder)
    label = (base.folder / "backup_label").read_text(encoding="utf-8")
    found = re.search(r"START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)", label)
    return found[1] if found else "0" * 24
