"""Vercel's REST API: builds without domains, promotion, instant rollback, environment, Edge Config, runtime logs.

Source: the API's own rules: a build bakes in its environment; promote and rollback only move aliases, and the project's
`lastAliasRequest` tells when they have; a rollback is offered only to what served production before.
"""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, JsonValue, SecretStr

from deployments.errors import BuildFailed, LostReply, PromotionFailed, ServiceRefused
from deployments.service import Service

log = logging.getLogger(__name__)

Target = Literal["production", "preview"]

_FAILED = {"ERROR", "CANCELED", "BLOCKED"}
_SERVER_ERROR = 500


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class GitLink(_Value):
    """The repository that a project is connected to."""

    type: str
    repo_id: int | str = Field(alias="repoId")
    org: str = ""
    repo: str = ""


class AliasRequest(_Value):
    """The last move of the production address."""

    type: str
    job_status: str = Field(alias="jobStatus")
    to_deployment_id: str = Field(alias="toDeploymentId")
    requested_at: int = Field(default=0, alias="requestedAt")


class _Production(_Value):
    id: str


class _Targets(_Value):
    production: _Production | None = None


class VercelProject(_Value):
    """A project."""

    id: str
    name: str
    link: GitLink | None = None
    targets: _Targets | None = None
    last_alias_request: AliasRequest | None = Field(default=None, alias="lastAliasRequest")

    @property
    def production_deployment_id(self) -> str | None:
        """The deployment that production's address serves; None before the first."""
        return self.targets.production.id if self.targets and self.targets.production else None


class _GitSource(_Value):
    sha: str = ""


class _Meta(_Value):
    release_id: str = Field(default="", alias="releaseId")
    sha: str = Field(default="", alias="githubCommitSha")


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
    git_source: _GitSource | None = Field(default=None, alias="gitSource")
    meta: _Meta = _Meta()

    @property
    def commit_sha(self) -> str:
        """The commit that it was built from."""
        return (self.git_source.sha if self.git_source else "") or self.meta.sha


class _Listed(_Value):
    uid: str
    meta: _Meta = _Meta()


class _Deployments(_Value):
    deployments: tuple[_Listed, ...]


class _Anything(_Value):
    pass


class _Event(_Value):
    text: str = ""


@dataclass(frozen=True)
class RequestCounts:
    """The requests that a deployment answered while its log was read.

    Attributes:
        requests: how many.
        errors: how many of them with a server error.
        failures: the first of those, as method, path and status.
    """

    requests: int
    errors: int
    failures: tuple[str, ...]


class VercelClient:
    """A project of Vercel's.

    Args:
        base_url: address of the API.
        token: the token; it is never shown.
        team_id: the team; it goes with every call.
        project_id: the project.
        poll_s: seconds between two looks at a build or a promotion.
        deadline_s: seconds that a build or a promotion may take.
        transport: how requests are sent, for tests.
    """

    def __init__(
        self,
        base_url: str | AnyHttpUrl,
        token: SecretStr,
        team_id: str,
        project_id: str,
        *,
        poll_s: float = 0.3,
        deadline_s: float = 900.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = Service(
            "Vercel",
            str(base_url),
            token,
            url_variable="VERCEL_API_URL",
            token_variable="VERCEL_TOKEN",  # noqa: S106
            parameters={"teamId": team_id},
            nothing_happened=frozenset({429}),
            transport=transport,
        )
        self._project_id = project_id
        self._poll_s = poll_s
        self._deadline_s = deadline_s

    def project(self) -> VercelProject:
        """The project, with the last move of its production address."""
        return self._service.read(f"/v9/projects/{self._project_id}", VercelProject, {"rollbackInfo": "true"})

    def deployment(self, deployment_id: str) -> Deployment:
        """A deployment by its id."""
        found = self._service.read(f"/v13/deployments/{deployment_id}", Deployment)
        url = found.url if "://" in found.url else f"https://{found.url}"
        return found.model_copy(update={"url": url})

    def production_deployment(self) -> Deployment | None:
        """The deployment that production's address serves; None before the first."""
        serving = self.project().production_deployment_id
        return self.deployment(serving) if serving else None

    def set_environment(self, key: str, value: SecretStr, *, targets: Sequence[Target]) -> None:
        """Set a variable for the builds to come; builds that exist keep what they were built with."""
        body: dict[str, JsonValue] = {
            "key": key,
            "value": value.get_secret_value(),
            "type": "encrypted",
            "target": list(targets),
        }
        self._repeatable("POST", f"/v10/projects/{self._project_id}/env", body, {"upsert": "true"})

    def build(self, commit_sha: str, ref: str, *, target: Target, meta: Mapping[str, str]) -> Deployment:
        """Build a commit without giving it any domain, and wait until it is ready.

        Args:
            commit_sha: the commit.
            ref: its name, for people.
            target: whose variables are baked in.
            meta: what is noted beside it; with the commit it tells a build of ours again after a lost reply.

        Raises:
            BuildFailed: it ended in an error, or not in time.
            ServiceRefused: the project is not connected to a repository that has the commit.
        """
        link = self.project().link
        if link is None:
            raise PromotionFailed(f"Vercel project {self._project_id} is not connected to a git repository: connect it")
        body: dict[str, JsonValue] = {
            "name": self._project_id,
            "project": self._project_id,
            "gitSource": {"type": link.type, "repoId": link.repo_id, "ref": ref, "sha": commit_sha},
            "meta": dict(meta),
            "autoAssignCustomDomains": False,
        }
        if target == "production":
            body["target"] = "production"
        made = self._made_once(body, commit_sha, target, meta)
        return self._ready(made)

    def promote(self, deployment_id: str) -> None:
        """Move production's address to a deployment; nothing is asked for where it is there already.

        Raises:
            PromotionFailed: it did not move.
        """
        self._move(deployment_id, f"/v10/projects/{self._project_id}/promote/{deployment_id}")

    def rollback(self, deployment_id: str) -> None:
        """Move production's address back to a deployment that it served before.

        Raises:
            PromotionFailed: it did not move.
            ServiceRefused: it never served production.
        """
        self._move(deployment_id, f"/v1/projects/{self._project_id}/rollback/{deployment_id}")

    def set_config(self, config_id: str, key: str, value: JsonValue) -> None:
        """Set an item of the Edge Config, which running builds read."""
        body: dict[str, JsonValue] = {"items": [{"operation": "upsert", "key": key, "value": value}]}
        self._repeatable("PATCH", f"/v1/edge-config/{config_id}/items", body)

    def runtime_requests(self, deployment_id: str, *, seconds: float, stop: threading.Event) -> RequestCounts | None:
        """Count the requests that a deployment answers from now on.

        Args:
            deployment_id: the deployment.
            seconds: how long to listen.
            stop: ends the listening early when set.

        Returns:
            The counts; None where the log could not be read to the end, so that nothing can be told from it.
        """
        path = f"/v1/projects/{self._project_id}/deployments/{deployment_id}/runtime-logs"
        ends = time.monotonic() + seconds
        requests, errors, failures = 0, 0, list[str]()
        try:
            with self._service.stream(path, timeout_s=seconds + 5) as answer:
                if not answer.is_success:
                    log.warning("the runtime log of %s answered %s", deployment_id, answer.status_code)
                    return None
                closing = threading.Thread(target=_close, args=(answer, stop, ends), daemon=True)
                closing.start()
                for line in answer.iter_lines():
                    if not line.strip():
                        continue
                    entry = json.loads(line)
                    requests += 1
                    if int(entry["responseStatusCode"]) >= _SERVER_ERROR:
                        errors += 1
                        failures.append(
                            f"{entry['requestMethod']} {entry['requestPath']} {entry['responseStatusCode']}"
                        )
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError, KeyError) as error:
            if not stop.is_set() and time.monotonic() < ends:
                log.warning("the runtime log of %s ended early (%s)", deployment_id, type(error).__name__)
                return None
        else:
            if not stop.is_set() and time.monotonic() < ends:
                return None
        return RequestCounts(requests, errors, tuple(failures[:5]))

    def _repeatable(
        self, method: str, path: str, body: dict[str, JsonValue], parameters: Mapping[str, str] | None = None
    ) -> None:
        """A change that comes out the same when it is asked for twice: after a lost reply it is."""
        for left in (2, 1, 0):
            try:
                self._service.change(method, path, _Anything, body, parameters)
            except LostReply:
                if not left:
                    raise
            else:
                return

    def _made_once(
        self, body: dict[str, JsonValue], commit_sha: str, target: Target, meta: Mapping[str, str]
    ) -> Deployment:
        release = meta.get("releaseId", "")
        if release and (found := self._built(commit_sha, target, release)):
            return found
        try:
            made = self._service.change("POST", "/v13/deployments", Deployment, body, {"forceNew": "1"})
        except LostReply:
            found = self._found_again(lambda: self._built(commit_sha, target, release)) if release else None
            if found is None:
                raise
            return found
        if made is None:
            raise PromotionFailed("Vercel answered a build without saying which")
        return made

    def _found_again(self, find: Callable[[], Deployment | None], tries: int = 10) -> Deployment | None:
        for _ in range(tries):
            if found := find():
                return found
            time.sleep(self._poll_s)
        return None

    def _built(self, commit_sha: str, target: Target, release: str) -> Deployment | None:
        """A build that this release asked for already and that has not failed."""
        asked = {"projectId": self._project_id, "limit": 20}
        for listed in self._service.read("/v6/deployments", _Deployments, asked).deployments:
            if listed.meta.release_id == release:
                found = self.deployment(listed.uid)
                if found.commit_sha == commit_sha and (found.target or "preview") == target:
                    return None if found.ready_state in _FAILED else found
        return None

    def _ready(self, made: Deployment) -> Deployment:
        ends = time.monotonic() + self._deadline_s
        while True:
            found = self.deployment(made.id)
            if found.ready_state == "READY":
                return found
            if found.ready_state in _FAILED or time.monotonic() > ends:
                raise BuildFailed(found.id, found.ready_state, self._build_log(found.id))
            time.sleep(self._poll_s)

    def _build_log(self, deployment_id: str) -> list[str]:
        try:
            with self._service.stream(f"/v3/deployments/{deployment_id}/events", timeout_s=10) as answer:
                text = answer.read().decode(errors="replace")
            events: list[JsonValue] = (
                json.loads(text)
                if text.startswith("[")
                else [json.loads(line) for line in text.splitlines() if line.strip()]
            )
            return [_Event.model_validate(event).text for event in events]
        except (httpx.HTTPError, ValueError):
            return []

    def _move(self, deployment_id: str, path: str) -> None:
        if self.project().production_deployment_id == deployment_id:
            return
        try:
            self._service.change("POST", path, _Anything, {})
        except LostReply:
            log.warning("Vercel's reply was lost: looking whether the address moves")
        except ServiceRefused as error:
            if error.status != 409:
                raise
        ends = time.monotonic() + min(self._deadline_s, 120.0)
        while time.monotonic() < ends:
            project = self.project()
            moved = project.last_alias_request
            if project.production_deployment_id == deployment_id and (moved is None or moved.job_status == "succeeded"):
                return
            if moved and moved.to_deployment_id == deployment_id and moved.job_status in {"failed", "skipped"}:
                raise PromotionFailed(f"Vercel: the {moved.type} to {deployment_id} ended as {moved.job_status}")
            time.sleep(self._poll_s)
        raise PromotionFailed(f"Vercel: production's address did not move to {deployment_id} in time")


def _close(answer: httpx.Response, stop: threading.Event, ends: float) -> None:
    """End a stream that would go on for ever."""
    stop.wait(max(0.0, ends - time.monotonic()))
    stop.set()
    # A close alone does not wake a thread that waits in recv; a shutdown does.
    stream = answer.extensions.get("network_stream")
    connected = stream.get_extra_info("socket") if stream is not None else None
    if connected is not None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)
