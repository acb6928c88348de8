"""The repository that a local Vercel project is connected to, as each host of repositories names it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from pydantic import BaseModel, Field, JsonValue

from deployments.local.releases import REPOSITORY

GitHost = Literal["github", "gitlab", "bitbucket"]


class GitSource(BaseModel):
    """Where a build's files come from: one of the ways to name the repository goes with each type."""

    type: str
    ref: str
    sha: str
    repo_id: int | str | None = Field(default=None, alias="repoId")
    project_id: int | str | None = Field(default=None, alias="projectId")
    repo_uuid: str | None = Field(default=None, alias="repoUuid")
    workspace_uuid: str | None = Field(default=None, alias="workspaceUuid")


@dataclass(frozen=True)
class GitConnection:
    """The connection of a project to its repository.

    Attributes:
        host: who keeps the repository.
        number: its number there, at GitHub and GitLab.
        uuid: its id at Bitbucket, and beside it that of its workspace.
    """

    host: GitHost = "github"
    number: int = 814_751
    uuid: str = field(default_factory=lambda: f"{{{uuid4()}}}")
    workspace_uuid: str = field(default_factory=lambda: f"{{{uuid4()}}}")

    def link(self) -> dict[str, JsonValue]:
        """The connection as the project shows it."""
        org, repo = REPOSITORY.parts
        name = repo.removesuffix(".git")
        named: dict[str, JsonValue]
        if self.host == "github":
            named = {"repoId": self.number, "org": org, "repo": name}
        elif self.host == "gitlab":
            named = {
                "projectId": str(self.number),
                "projectName": name,
                "projectNamespace": org,
                "projectNameWithNamespace": f"{org}/{name}",
                "projectUrl": f"https://gitlab.com/{org}/{name}",
            }
        else:
            named = {"uuid": self.uuid, "workspaceUuid": self.workspace_uuid, "owner": org, "slug": name, "name": name}
        return {"type": self.host, **named, "productionBranch": "main"}

    def source(self, ref: str, sha: str) -> dict[str, JsonValue]:
        """The source of a build as the build shows it."""
        named: dict[GitHost, dict[str, JsonValue]] = {
            "github": {"repoId": self.number},
            "gitlab": {"projectId": self.number},
            "bitbucket": {"repoUuid": self.uuid, "workspaceUuid": self.workspace_uuid},
        }
        return {"type": self.host, **named[self.host], "ref": ref, "sha": sha}

    def meta(self, ref: str, sha: str) -> dict[str, str]:
        """What a build notes of its commit."""
        return {f"{self.host}CommitSha": sha, f"{self.host}CommitRef": ref}

    def is_named_by(self, source: GitSource) -> bool:
        """Whether a build's source is this repository."""
        if source.type != self.host:
            return False
        if self.host == "bitbucket":
            return source.repo_uuid == self.uuid and source.workspace_uuid in {None, self.workspace_uuid}
        return str(source.repo_id if self.host == "github" else source.project_id) == str(self.number)
