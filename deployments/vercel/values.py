"""What Vercel's API answers, as far as it is read here."""

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from deployments.vercel.git_links import GitLink


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class AliasRequest(_Value):
    """The last move of the production address."""

    type: str
    job_status: str = Field(alias="jobStatus")
    to_deployment_id: str = Field(alias="toDeploymentId")
    requested_at: int = Field(default=0, alias="requestedAt")

    @property
    def running(self) -> bool:
        """Whether the address may still move."""
        return self.job_status in {"pending", "in-progress"}


class ServingDeployment(_Value):
    """The deployment that a target serves."""

    id: str


class ProjectTargets(_Value):
    """What each target of a project serves."""

    production: ServingDeployment | None = None


class VercelProject(_Value):
    """A project."""

    id: str
    name: str
    link: GitLink | None = None
    targets: ProjectTargets | None = None
    last_alias_request: AliasRequest | None = Field(default=None, alias="lastAliasRequest")

    @property
    def production_deployment_id(self) -> str | None:
        """The deployment that production's address serves; None before the first."""
        return self.targets.production.id if self.targets and self.targets.production else None

    @property
    def moving(self) -> bool:
        """Whether a promotion or a rollback is under way: production's address may still move."""
        return self.last_alias_request is not None and self.last_alias_request.running


class GitSource(_Value):
    """Where the files of a build come from."""

    sha: str = ""


class BuildMeta(_Value):
    """What was noted beside a build."""

    release_id: str = Field(default="", alias="releaseId")
    sha: str = Field(
        default="", validation_alias=AliasChoices("githubCommitSha", "gitlabCommitSha", "bitbucketCommitSha")
    )


class Deployment(_Value):
    """A build of a commit.

    Attributes:
        url: its own address, with scheme.
        ready_state: QUEUED, INITIALIZING, BUILDING, READY, ERROR, CANCELED or BLOCKED.
    """

    id: str
    url: str
    ready_state: str = Field(alias="readyState")
    target: str | None = None
    git_source: GitSource | None = Field(default=None, alias="gitSource")
    meta: BuildMeta = BuildMeta()

    @property
    def failed(self) -> bool:
        """Whether it will never be ready."""
        return self.ready_state in {"ERROR", "CANCELED", "BLOCKED"}

    @property
    def commit_sha(self) -> str:
        """The commit that it was built from."""
        return (self.git_source.sha if self.git_source else "") or self.meta.sha


class ListedDeployment(_Value):
    """A deployment as the list shows it."""

    uid: str
    meta: BuildMeta = BuildMeta()


class Deployments(_Value):
    """A page of deployments, newest first."""

    deployments: tuple[ListedDeployment, ...]


class IgnoredAnswer(_Value):
    """An answer of which nothing is read."""


class BuildEvent(_Value):
    """A line of a build's log."""

    text: str = ""
