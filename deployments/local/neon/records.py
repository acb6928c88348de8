"""What the local Neon project remembers of its branches, computes, roles and snapshots."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


def now() -> datetime:
    """Return the time, to the microsecond."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Something remembered; never changed, only replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(Record):
    """A role of a branch; the password is unknown for one made by SQL."""

    name: str
    password: str | None = Field(default=None, repr=False)
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)


class Database(Record):
    """A database of a branch."""

    id: int
    name: str
    owner: str
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)


class Branch(Record):
    """A branch: a name for a cluster, which a restore replaces.

    `kept_by_restore` marks the former state of a root, which, unlike the first root, can be deleted.
    """

    id: str
    name: str
    folder: str
    current_state: Literal["init", "ready", "resetting"] = "ready"
    parent_id: str | None = None
    parent_lsn: str | None = None
    parent_timestamp: datetime | None = None
    default: bool = False
    protected: bool = False
    kept_by_restore: bool = False
    roles: tuple[Role, ...] = ()
    databases: tuple[Database, ...] = ()
    annotation: dict[str, str] = Field(default_factory=dict)
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    state_changed_at: datetime = Field(default_factory=now)
    expires_at: datetime | None = None
    last_reset_at: datetime | None = None

    @property
    def root(self) -> bool:
        """Whether it has no parent."""
        return self.parent_id is None

    def role(self, name: str) -> Role | None:
        """Return a role by its name."""
        return next((role for role in self.roles if role.name == name), None)

    def database(self, name: str) -> Database | None:
        """Return a database by its name."""
        return next((database for database in self.databases if database.name == name), None)


class Endpoint(Record):
    """The compute of a branch: the port that its cluster's server listens on."""

    id: str
    branch_id: str
    port: int
    current_state: Literal["init", "active", "idle"] = "init"
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    started_at: datetime | None = None
    suspended_at: datetime | None = None

    @property
    def host(self) -> str:
        """Where it is reached."""
        return f"127.0.0.1:{self.port}"


class Snapshot(Record):
    """The state of a root branch at an LSN, kept in a folder of its own."""

    id: str
    name: str
    source_branch_id: str
    folder: str
    lsn: str
    ready: bool = False
    created_at: datetime = Field(default_factory=now)
    expires_at: datetime | None = None


class Project(Record):
    """All that is remembered."""

    id: str
    name: str
    history_retention_s: int = 86_400
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    branches: tuple[Branch, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()

    def branch(self, branch_id: str) -> Branch | None:
        """Return a branch by its id."""
        return next((branch for branch in self.branches if branch.id == branch_id), None)

    def branch_named(self, name: str) -> Branch | None:
        """Return a branch by its name."""
        return next((branch for branch in self.branches if branch.name == name), None)

    def children(self, branch_id: str) -> tuple[Branch, ...]:
        """Return the branches whose parent a branch is."""
        return tuple(branch for branch in self.branches if branch.parent_id == branch_id)

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return a compute by its id."""
        return next((endpoint for endpoint in self.endpoints if endpoint.id == endpoint_id), None)

    def endpoint_of(self, branch_id: str) -> Endpoint | None:
        """Return the compute of a branch."""
        return next((endpoint for endpoint in self.endpoints if endpoint.branch_id == branch_id), None)

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """Return a snapshot by its id."""
        return next((snapshot for snapshot in self.snapshots if snapshot.id == snapshot_id), None)

    def with_branch(self, branch: Branch) -> Project:
        """Return the project with a branch added or replaced."""
        others = tuple(other for other in self.branches if other.id != branch.id)
        return self.model_copy(update={"branches": (*others, branch)})

    def without_branch(self, branch_id: str) -> Project:
        """Return the project without a branch and its compute."""
        return self.model_copy(
            update={
                "branches": tuple(branch for branch in self.branches if branch.id != branch_id),
                "endpoints": tuple(endpoint for endpoint in self.endpoints if endpoint.branch_id != branch_id),
            }
        )

    def with_endpoint(self, endpoint: Endpoint) -> Project:
        """Return the project with a compute added or replaced."""
        others = tuple(other for other in self.endpoints if other.id != endpoint.id)
        return self.model_copy(update={"endpoints": (*others, endpoint)})

    def without_endpoint(self, endpoint_id: str) -> Project:
        """Return the project without a compute."""
        kept = tuple(endpoint for endpoint in self.endpoints if endpoint.id != endpoint_id)
        return self.model_copy(update={"endpoints": kept})

    def with_snapshot(self, snapshot: Snapshot) -> Project:
        """Return the project with a snapshot added or replaced."""
        others = tuple(other for other in self.snapshots if other.id != snapshot.id)
        return self.model_copy(update={"snapshots": (*others, snapshot)})

    def without_snapshot(self, snapshot_id: str) -> Project:
        """Return the project without a snapshot."""
        kept = tuple(snapshot for snapshot in self.snapshots if snapshot.id != snapshot_id)
        return self.model_copy(update={"snapshots": kept})


def read_project(file: Path) -> Project | None:
    """Return what was remembered in a file, if there is one."""
    try:
        return Project.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None


def write_project(file: Path, project: Project) -> None:
    """Remember a project in a file that only this user can read; a reader sees it whole or not at all."""
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(project.model_dump_json(indent=1))
    fresh.replace(file)
