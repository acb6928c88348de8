"""A Vercel project: its deployments, its variables, its Edge Config, and which deployment production serves."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deployments.local.errors import LocalPlatformError, RefusedError
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.spoiled_work import SpoiledWork, spoiled_work
from deployments.local.releases import has_commit
from deployments.local.vercel.builds import Build, Builder
from deployments.local.vercel.git_links import GitConnection, GitSource
from deployments.local.vercel.production import Upstream
from deployments.local.vercel.variables import Variables

_MOVE_S = 0.2


@dataclass(frozen=True)
class Identity:
    """The names and secrets of a project."""

    token: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    team_id: str = field(default_factory=lambda: f"team_{secrets.token_hex(8)}")
    project_id: str = field(default_factory=lambda: f"prj_{secrets.token_hex(8)}")
    config_id: str = field(default_factory=lambda: f"ecfg_{secrets.token_hex(8)}")
    config_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    bypass_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    git: GitConnection = field(default_factory=GitConnection)


@dataclass
class AliasRequest:
    """A move of production's address."""

    type: Literal["promote", "rollback"]
    from_id: str | None
    to_id: str
    status: str = "pending"
    requested_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


class VercelProject:
    """The project; safe to use from several threads.

    Args:
        identity: its names and secrets.
        repository: the git repository that it is connected to.
        folder: where builds go.
        spawner: starts the applications.
    """

    def __init__(self, identity: Identity, *, repository: Path, folder: Path, spawner: Spawner) -> None:
        self.identity = identity
        self.builder = Builder(repository, folder, spawner, identity.bypass_secret)
        self.builds: dict[str, Build] = {}
        self.variables = Variables()
        self.items: dict[str, object] = {}
        self.serving: str | None = None
        self.last_move: AliasRequest | None = None
        self.config_url = ""
        self._lock = threading.RLock()

    def production(self) -> Upstream | None:
        """Who serves production now."""
        serving = self.serving
        return self.builder.upstream(serving) if serving else None

    def create(
        self, source: GitSource, *, target: str | None, meta: dict[str, str], takes_domains: bool = False
    ) -> Build:
        """Begin a build of a commit.

        Args:
            source: the commit.
            target: `production`, or None for a preview.
            meta: what is noted beside it.
            takes_domains: whether production's address moves to it once it is ready, where it is one for production;
                not while production is rolled back.

        Raises:
            RefusedError: 400 where the repository is another, or has no such commit.
        """
        git, sha, ref = self.identity.git, source.sha, source.ref
        if not git.is_named_by(source):
            raise RefusedError(400, "The repository is not the one linked to the project.", "incorrect_git_source")
        if not has_commit(self.builder.repository, sha):
            raise RefusedError(400, f"The commit {sha} could not be found in the repository.", "git_commit_not_found")
        environment = target or "preview"
        with self._lock:
            build = Build(
                sha=sha,
                ref=ref,
                target=target,
                meta={**meta, **git.meta(ref, sha)},
                environment={
                    **self.variables.baked(environment, ref),
                    "VERCEL_ENV": environment,
                    "VERCEL_GIT_COMMIT_SHA": sha,
                    "EDGE_CONFIG": f"{self.config_url}/{self.identity.config_id}?token={self.identity.config_token}",
                },
            )
            self.builds[build.id] = build
        self.builder.start(build, self._take_domains if takes_domains and target == "production" else None)
        return build

    def _take_domains(self, build: Build) -> None:
        # Source: Vercel's documentation of instant rollbacks: until somebody promotes, no build takes the domains.
        with self._lock:
            last = self.last_move
            if last is None or (last.type, last.status) != ("rollback", "succeeded"):
                self.serving, build.served = build.id, True

    def find(self, id_or_url: str) -> Build:
        """A build by its id or its address.

        Raises:
            RefusedError: 404 where there is none.
        """
        for build in [*self.builds.values()]:
            if id_or_url in {build.id, build.url, build.url.removeprefix("http://")}:
                return build
        raise RefusedError(404, "The deployment could not be found.", "not_found")

    def delete(self, build: Build) -> None:
        """Delete a build.

        Raises:
            RefusedError: 409 where production serves it.
        """
        if build.id == self.serving:
            raise RefusedError(409, "The deployment serves production and cannot be deleted.", "deployment_in_use")
        self.builder.delete(build.id)
        self.builds.pop(build.id, None)

    def move(self, kind: Literal["promote", "rollback"], build: Build) -> None:
        """Move production's address to a build, a moment from now.

        Raises:
            RefusedError: 409 while another move is under way or where the build is not ready; 422 where a rollback goes
                to a build that never served.
        """
        with self._lock:
            if self.last_move is not None and self.last_move.status in {"pending", "in-progress"}:
                raise RefusedError(409, "Another promote or rollback is in progress.", "conflict")
            if build.state != "READY":
                raise RefusedError(409, f"The deployment is {build.state}, not READY.", "deployment_not_ready")
            if kind == "rollback" and not build.served:
                raise RefusedError(422, "The deployment was never aliased to production.", "not_a_rollback_candidate")
            move = self.last_move = AliasRequest(kind, self.serving, build.id)
        threading.Thread(target=self._carry_out, args=(move, build, spoiled_work.get()), daemon=True).start()

    def _carry_out(self, move: AliasRequest, build: Build, spoiled: SpoiledWork | None) -> None:
        time.sleep(_MOVE_S / 2)
        move.status = "in-progress"
        try:
            if spoiled is not None:
                spoiled.meet()
        except LocalPlatformError:
            move.status = "failed"
            return
        time.sleep(_MOVE_S / 2)
        with self._lock:
            self.serving = build.id
            build.served = True
            move.status = "succeeded"

    def change_item(self, operation: str, key: str, value: object) -> None:
        """Change an item of the Edge Config.

        Raises:
            RefusedError: 400 for an unknown operation; 409 where `create` finds one; 404 where `update` or `delete`
                finds none.
        """
        with self._lock:
            there = key in self.items
            if operation not in {"create", "update", "upsert", "delete"}:
                raise RefusedError(400, f"The operation {operation} is not known.", "bad_request")
            if operation == "create" and there:
                raise RefusedError(409, f"The item {key} exists already.", "conflict")
            if operation in {"update", "delete"} and not there:
                raise RefusedError(404, f"The item {key} could not be found.", "not_found")
            if operation == "delete":
                del self.items[key]
            else:
                self.items[key] = value

    def close(self) -> None:
        """End every build."""
        self.builder.close()
