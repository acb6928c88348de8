"""What Neon's API answers, as far as it is read here."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NeonProject(_Value):
    """A project."""

    id: str
    name: str
    pg_version: int
    history_retention_seconds: int


class Author(_Value):
    """Who made something."""

    name: str


class Branch(_Value):
    """A branch of a project.

    Attributes:
        created_by: None where Neon does not say.
        parent_id: None for a root branch.
        parent_lsn: where in its parent's history it begins.
        current_state: init, ready, resetting or archived.
        last_reset_at: when it was last restored; None where it never was, or Neon does not say.
    """

    id: str
    name: str
    current_state: str
    protected: bool = False
    default: bool = False
    parent_id: str | None = None
    parent_lsn: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    last_reset_at: datetime | None = None
    created_by: Author | None = None


class Endpoint(_Value):
    """A compute of a branch."""

    id: str
    host: str
    branch_id: str
    type: Literal["read_write", "read_only"]
    disabled: bool = False


class Snapshot(_Value):
    """A snapshot of a root branch."""

    id: str
    name: str
    created_at: datetime
    source_branch_id: str | None = None


class Operation(_Value):
    """A piece of the work that a change began."""

    id: str
    action: str
    status: str
    branch_id: str | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return self.status in {"finished", "skipped"} or self.failed

    @property
    def failed(self) -> bool:
        """Whether it has come to a bad end."""
        return self.status in {"failed", "error", "cancelled"}


class Changed(_Value):
    """The answer to a change: its object, and the operations that must end before it can be used."""

    operations: tuple[Operation, ...] = ()
    branch: Branch | None = None


class Page(_Value):
    """Where the next page begins; None on the last."""

    next: str | None = None


class Branches(_Value):
    """A page of branches."""

    branches: tuple[Branch, ...]
    pagination: Page | None = None


class ProjectAnswer(_Value):
    """A project, wrapped as the API wraps it."""

    project: NeonProject


class BranchAnswer(_Value):
    """A branch, wrapped as the API wraps it."""

    branch: Branch


class Endpoints(_Value):
    """The computes of a branch."""

    endpoints: tuple[Endpoint, ...]


class Snapshots(_Value):
    """The snapshots of a project."""

    snapshots: tuple[Snapshot, ...]


class Operations(_Value):
    """The newest operations of a project, newest first."""

    operations: tuple[Operation, ...]


class OperationAnswer(_Value):
    """An operation, wrapped as the API wraps it."""

    operation: Operation


class UriAnswer(_Value):
    """A connection string."""

    uri: SecretStr
