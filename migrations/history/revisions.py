"""The revisions of a release, oldest first, and the state of a database relative to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory

from migrations.errors import HistoryUnreadable, SeveralHeads, UnknownRevision
from migrations.history import applied_revisions
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.program_exits import refusing_program_exit
from migrations.history.project_failures import failure_of
from migrations.history.revision_file import Revision

__all__ = [
    "SCRIPT_LOCATION",
    "VERSIONS",
    "VERSION_TABLE",
    "History",
    "HistoryState",
    "Revision",
    "current_revisions",
    "history_state",
]

SCRIPT_LOCATION = Path(__file__).parents[1]
VERSIONS = SCRIPT_LOCATION / "versions"
VERSION_TABLE = "alembic_version"


@dataclass(frozen=True)
class History:
    """Every revision of a folder, oldest first.

    Attributes:
        revisions: each after all that it needs.
        folders: where their files lie.
        directory: the same, as Alembic has read them.
        environment: whose env.py runs them; None where ours does.
        version_table: the table that says which revisions stand, quoted and with its schema where it has one.
    """

    revisions: tuple[Revision, ...]
    folders: tuple[Path, ...]
    directory: ScriptDirectory = field(repr=False, compare=False)
    environment: ForeignEnvironment | None = None
    version_table: str = VERSION_TABLE
    _by_id: Mapping[str, Revision] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {revision.id: revision for revision in self.revisions})

    @classmethod
    def load(cls, *folders: Path) -> History:
        """Read the revisions of folders; Alembic runs the head of each file.

        Args:
            folders: folders of revisions, or script locations with a `versions` folder; our own without.

        Raises:
            HistoryUnreadable: a file is no revision, or a revision names one that is not there.
        """
        folders = tuple(_versions_folder(folder) for folder in folders) or (VERSIONS,)
        absent = [place for place in folders if not place.is_dir()]
        if absent:
            raise HistoryUnreadable(absent, "there is no such folder")
        directory = ScriptDirectory(str(SCRIPT_LOCATION), version_locations=[str(place) for place in folders])
        return cls(_read_revisions(directory, folders), folders, directory)

    @classmethod
    def of_project(cls, environment: ForeignEnvironment) -> History:
        """Read the revisions of a project that is not ours, wherever its configuration says they are.

        Raises:
            HistoryUnreadable: its configuration, or a revision of it, cannot be read.
        """
        folders = cls.revision_folders(environment)
        with chdir(environment.folder):
            directory = ScriptDirectory.from_config(environment.alembic_config())
            return cls(_read_revisions(directory, folders), folders, directory, environment)

    @staticmethod
    def revision_folders(environment: ForeignEnvironment | None) -> tuple[Path, ...]:
        """The folders that hold the files of revisions; our own where no environment is named.

        Raises:
            HistoryUnreadable: the configuration names no place that is there.
        """
        if environment is None:
            return (VERSIONS,)
        with chdir(environment.folder):
            try:
                directory = ScriptDirectory.from_config(environment.alembic_config())
                folders = tuple(Path(one).resolve() for one in directory.version_locations or ())
            except Exception as error:
                shown = environment.config or environment.script_location or environment.folder
                raise HistoryUnreadable([shown], f"{type(error).__name__}: {error}") from error
            folders = folders or (Path(directory.versions).resolve(),)
            if not directory.recursive_version_locations:
                return folders
            below = (one for place in folders for one in sorted(place.rglob("*")) if one.name != "__pycache__")
            return (*folders, *(one for one in below if one.is_dir()))

    @property
    def heads(self) -> tuple[str, ...]:
        """The revisions that are no other revision's down_revision."""
        followed = {down for revision in self.revisions for down in revision.down_revisions}
        return tuple(revision.id for revision in self.revisions if revision.id not in followed)

    def __contains__(self, revision: str) -> bool:
        return revision in self._by_id

    def revision(self, name: str) -> Revision:
        """The revision of that id, or the only one whose id begins so.

        Raises:
            UnknownRevision: there is none, or several; the nearest ones are named.
        """
        if name in self._by_id:
            return self._by_id[name]
        beginning = [one for one in self.revisions if one.id.startswith(name)] if name else []
        if len(beginning) == 1:
            return beginning[0]
        ids = [one.id for one in reversed(self.revisions)]
        near = [one.id for one in beginning] or difflib.get_close_matches(name, ids, n=3, cutoff=0.4) or ids[:3]
        raise UnknownRevision(name, near)

    def resolve(self, target: str) -> str:
        """The id that a target means.

        Args:
            target: `head`, `LABEL@head`, a revision's id, or the beginning of one.

        Raises:
            SeveralHeads: `head`, where there are several.
            UnknownRevision: no such revision; `head` where there are none at all.
        """
        label, mark, head = target.rpartition("@")
        if head not in {"head", "heads"}:
            return self.revision(target).id
        heads = tuple(one for one in self.heads if not mark or label in self.revision(one).labels)
        if len(heads) > 1:
            raise SeveralHeads(heads)
        if not heads:
            raise UnknownRevision(target, self.heads)
        return heads[0]

    def with_ancestors(self, revisions: Iterable[str]) -> tuple[str, ...]:
        """These revisions and all their ancestors, oldest first; those that the history lacks are left out."""
        waiting = [revision for revision in revisions if revision in self._by_id]
        below: set[str] = set()
        while waiting:
            one = waiting.pop()
            if one not in below:
                below.add(one)
                waiting += [down for down in self._by_id[one].down_revisions if down in self._by_id]
        return tuple(revision.id for revision in self.revisions if revision.id in below)

    def path_to(self, target: str | Sequence[str], current: Sequence[str] = ()) -> tuple[Revision, ...]:
        """The revisions to apply to get from `current` to `target`, in order.

        Args:
            target: `head`, `heads` for all of them, a revision, or several.
            current: the revisions that stand.

        Raises:
            SeveralHeads: `head`, where there are several.
            UnknownRevision: a target that is not there.
        """
        targets = self.targets(target)
        applied = set(self.with_ancestors(current))
        return tuple(self._by_id[one] for one in self.with_ancestors(targets) if one not in applied)

    def targets(self, target: str | Sequence[str]) -> tuple[str, ...]:
        """The ids that a target means; `heads` means every one."""
        if target == "heads":
            return self.heads
        return (self.resolve(target),) if isinstance(target, str) else tuple(self.resolve(one) for one in target)

    def changed_files(self) -> tuple[str, ...]:
        """Revisions whose file has changed since it was loaded."""
        return tuple(one.id for one in self.revisions if one.is_changed())

    def alembic_config(self) -> Config:
        """Alembic's configuration for these revisions, and the env.py that runs them."""
        if self.environment is not None:
            return self.environment.alembic_config()
        config = Config()
        for name, given in (
            ("script_location", str(SCRIPT_LOCATION)),
            ("path_separator", "newline"),
            ("version_locations", "\n".join(str(folder) for folder in self.folders)),
        ):
            config.set_main_option(name, given.replace("%", "%%"))
        return config


@dataclass(frozen=True)
class HistoryState:
    """The state of a database relative to a history. None means unknown, since nothing was recorded.

    Attributes:
        current: revisions that stand in `alembic_version`.
        pending: revisions that it lacks, oldest first; None where it stands at one that the history does not know.
        edited: applied revisions whose file is another one now.
        deleted: applied revisions whose file is gone.
        unknown: revisions that stand, and that the history lacks.
        unrecorded: applied revisions that were applied by somebody else, without a record.
    """

    current: tuple[str, ...]
    pending: tuple[Revision, ...] | None
    edited: tuple[Revision, ...] | None
    deleted: tuple[str, ...] | None
    unknown: tuple[str, ...]
    unrecorded: tuple[str, ...] = ()


def history_state(
    connection: psycopg.Connection, history: History, *, target: str | Sequence[str] = "heads"
) -> HistoryState:
    """Compare a database with a history.

    Args:
        connection: a session that reads; of the owner, since the records are its own.
        history: the revisions.
        target: up to where revisions count as pending.

    Locks: AccessShareLock on alembic_version and pilotage.applied_revisions.
    """
    current = current_revisions(connection, history.version_table)
    unknown = tuple(revision for revision in current if revision not in history)
    pending = None if unknown else history.path_to(target, current)
    # Of a project that is not ours nothing is recorded; what is kept there belongs to another history.
    if history.environment is not None or not applied_revisions.has_records(connection):
        if current:
            return HistoryState(current, pending, None, None, unknown, history.with_ancestors(current))
        return HistoryState(current, pending, (), (), unknown)
    kept = applied_revisions.checksums(connection)
    edited = tuple(one for one in history.revisions if kept.get(one.id, one.checksum) != one.checksum)
    deleted = tuple(sorted(revision for revision in kept if revision not in history))
    unrecorded = tuple(one for one in history.with_ancestors(current) if one not in kept)
    return HistoryState(current, pending, edited, deleted, unknown, unrecorded)


def current_revisions(connection: psycopg.Connection, version_table: str = VERSION_TABLE) -> tuple[str, ...]:
    """The revisions that stand in the database, sorted; empty before the first.

    Args:
        connection: a session that reads.
        version_table: the table that says so, quoted.
    """
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (version_table,)).fetchone()
    if row is None or not row[0]:
        return ()
    rows = connection.execute(f"SELECT version_num FROM {version_table} ORDER BY version_num".encode())  # noqa: S608
    return tuple(str(row[0]) for row in rows)


def _read_revisions(directory: ScriptDirectory, folders: Sequence[Path]) -> tuple[Revision, ...]:
    try:
        with refusing_program_exit():
            scripts = list(directory.walk_revisions("base", "heads"))
        return tuple(Revision.of(script, directory) for script in reversed(scripts))
    except Exception as error:  # The head of a revision is code of the release: it may raise anything.
        raise HistoryUnreadable(folders, failure_of(error)) from None


def _versions_folder(folder: Path) -> Path:
    inner = folder / "versions"
    return inner if inner.is_dir() else folder
