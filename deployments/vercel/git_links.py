"""The repository that a Vercel project is connected to, and a build's source as its host wants it named."""

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue


class GitLink(BaseModel):
    """The repository that a project is connected to.

    Attributes:
        type: github, gitlab, bitbucket, or what is not known here: only a build needs to know it.
        repo_id: GitHub's number of the repository.
        project_id: GitLab's number of the project.
        uuid: Bitbucket's id of the repository.
        workspace_uuid: Bitbucket's id of the workspace that it is in.
        org: who has the repository.
        repo: what it is called there.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    type: str
    repo_id: int | str | None = Field(default=None, alias="repoId")
    project_id: int | str | None = Field(default=None, alias="projectId")
    uuid: str | None = None
    workspace_uuid: str | None = Field(default=None, alias="workspaceUuid")
    org: str | None = Field(default=None, validation_alias=AliasChoices("org", "projectNamespace", "owner"))
    repo: str | None = Field(default=None, validation_alias=AliasChoices("repo", "slug", "projectName"))

    @property
    def name(self) -> str | None:
        """The repository as people write it, such as `owner/name`; None where the link does not say."""
        return f"{self.org}/{self.repo}" if self.org and self.repo else None

    def source(self, ref: str, sha: str) -> dict[str, JsonValue] | None:
        """Where the files of a build of a commit come from; None where the link does not say enough to name it.

        Source: the API's `gitSource`: `repoId` for GitHub and GitHub Enterprise, `projectId` for GitLab, `repoUuid`
        and `workspaceUuid` for Bitbucket.
        """
        named: dict[str, JsonValue] | None = None
        if self.type.startswith("github") and self.repo_id is not None:
            named = {"repoId": self.repo_id}
        elif self.type == "gitlab" and self.project_id is not None:
            named = {"projectId": self.project_id}
        elif self.type == "bitbucket" and self.uuid is not None and self.workspace_uuid is not None:
            named = {"repoUuid": self.uuid, "workspaceUuid": self.workspace_uuid}
        return None if named is None else {"type": self.type, **named, "ref": ref, "sha": sha}
