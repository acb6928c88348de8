"""What requests to the local Neon API carry; fields that have no meaning here are taken and left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


# Source: Neon's documentation of branch expiration.
LONGEST_EXPIRY = timedelta(days=30)


def _in_the_future(value: datetime) -> datetime:
    now = datetime.now(UTC)
    if value <= now:
        raise ValueError("it lies in the past")
    if value > now + LONGEST_EXPIRY:
        raise ValueError(f"it lies more than {LONGEST_EXPIRY.days} days ahead")
    return value.replace(microsecond=0)


Expiry = Annotated[AwareDatetime, AfterValidator(_in_the_future)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
SqlName = Annotated[str, Field(min_length=1, max_length=63)]


class BranchToCreate(_Body):
    """The branch of a request to create one."""

    name: Name | None = None
    parent_id: str | None = None
    parent_lsn: str | None = None
    parent_timestamp: str | None = None
    protected: bool = False
    archived: bool = False
    init_source: str = "parent-data"
    expires_at: Expiry | None = None


class EndpointOfBranch(_Body):
    """A compute of a branch to create."""

    type: str


class CreateBranch(_Body):
    """POST branches; it may have no body at all."""

    branch: BranchToCreate = BranchToCreate()
    endpoints: tuple[EndpointOfBranch, ...] = ()
    annotation_value: dict[str, str] = Field(default_factory=dict)


class BranchToUpdate(_Body):
    """The branch of a request to change one; `expires_at` given as null clears it."""

    name: Name | None = None
    protected: bool | None = None
    expires_at: Expiry | None = None


class UpdateBranch(_Body):
    """PATCH branches/{id}."""

    branch: BranchToUpdate


class RestoreBranch(_Body):
    """POST branches/{id}/restore."""

    source_branch_id: str
    source_lsn: str | None = None
    source_timestamp: str | None = None
    preserve_under_name: Name | None = None


class EndpointToCreate(_Body):
    """The compute of a request to create one."""

    branch_id: str
    type: str


class CreateEndpoint(_Body):
    """POST endpoints."""

    endpoint: EndpointToCreate


class EndpointToUpdate(_Body):
    """The compute of a request to change one: sizes and time-outs have no meaning for a server on this machine."""

    branch_id: str | None = None


class UpdateEndpoint(_Body):
    """PATCH endpoints/{id}."""

    endpoint: EndpointToUpdate


class RoleToCreate(_Body):
    """The role of a request to create one."""

    name: SqlName
    no_login: bool = False


class CreateRole(_Body):
    """POST roles."""

    role: RoleToCreate


class DatabaseToCreate(_Body):
    """The database of a request to create one."""

    name: SqlName
    owner_name: SqlName


class CreateDatabase(_Body):
    """POST databases."""

    database: DatabaseToCreate


class ProjectToUpdate(_Body):
    """The project of a request to change one."""

    name: Name | None = None
    history_retention_seconds: int | None = Field(default=None, ge=0, le=2_592_000)


class UpdateProject(_Body):
    """PATCH projects/{id}."""

    project: ProjectToUpdate


class SnapshotToUpdate(_Body):
    """The snapshot of a request to change one; `expires_at` given as null clears it."""

    name: Name | None = None
    expires_at: Expiry | None = None


class UpdateSnapshot(_Body):
    """PATCH snapshots/{id}."""

    snapshot: SnapshotToUpdate


SortBy = Literal["name", "created_at", "updated_at"]
SortOrder = Literal["asc", "desc"]
