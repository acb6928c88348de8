"""Vercel's REST API: builds without domains, promotion, instant rollback, environment, Edge Config, runtime logs.

Source: the API's own rules: a build bakes in its environment; promote and rollback only move aliases, and the project's
`lastAliasRequest` tells when they have; a rollback is offered only to what served production before.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping

import httpx
from pydantic import AnyHttpUrl, JsonValue, SecretStr

from deployments.answers import body_chunks
from deployments.call_budget import VERCEL_A_MINUTE, GrowingPauses
from deployments.errors import (
    BuildFailed,
    LostReply,
    ProjectNotLinked,
    ServiceAnswerUnknown,
)
from deployments.fence import Fence
from deployments.service import MOST_BYTES, Service
from deployments.vercel.inspection import Inspection
from deployments.vercel.moves import Moves
from deployments.vercel.runtime_log import RequestCounts, count_requests
from deployments.vercel.values import (
    AliasRequest,
    BuildEvent,
    Deployment,
    Deployments,
    IgnoredAnswer,
    VercelProject,
)
from deployments.vercel.variables import Target, Variable, Variables

__all__ = ["AliasRequest", "Deployment", "RequestCounts", "Target", "Variable", "VercelClient", "VercelProject"]

log = logging.getLogger(__name__)

_LOOKS = 10
_LONGEST_PAUSE_S = 3.0


class VercelClient:
    """A project of Vercel's.

    Attributes:
        inspection: questions about the token, the team and the like.

    Args:
        base_url: address of the API.
        token: the token; it is never shown.
        team_id: the team; it goes with every call.
        project_id: the project.
        poll_s: seconds between the first two looks at a build or a promotion; the pauses grow.
        deadline_s: seconds that a build or a promotion may take.
        fence: asked right before each change is sent; None where a person asks.
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
        fence: Fence | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = Service(
            "Vercel",
            str(base_url),
            token,
            url_variable="VERCEL_API_URL",
            token_variable="VERCEL_TOKEN",  # noqa: S106
            parameters={"teamId": team_id},
            safe_to_retry=frozenset({429}),
            calls_a_minute=VERCEL_A_MINUTE,
            fence=fence,
            transport=transport,
        )
        self._project_id = project_id
        self._variables = Variables(self._service, project_id)
        self.inspection = Inspection(self._service, team_id, project_id)
        self._poll_s = poll_s
        self._deadline_s = deadline_s
        self._moves = Moves(self._service, self.project, poll_s=poll_s, deadline_s=deadline_s)

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

    def variables(self) -> tuple[Variable, ...]:
        """Every variable of the project, without values."""
        return self._variables.every()

    def variable(self, key: str, target: Target, *, git_ref: str | None = None) -> Variable | None:
        """The variable that builds of a ref for a target are given, and no other builds; None where there is none.

        Raises:
            SharedVariable: other builds are given it as well, or the branch has one of its own.
        """
        return self._variables.of(key, target, git_ref=git_ref)

    def set_environment(self, key: str, value: SecretStr, *, target: Target, git_ref: str | None = None) -> None:
        """Set a variable for the builds to come of one target; builds that exist keep what they were built with.

        Args:
            key: its name.
            value: its value; it is never told.
            target: whose builds are given it, and nobody else's.
            git_ref: the branch that will be built.

        Raises:
            SharedVariable: another target would be given the value as well.
            VariableNotSet: Vercel does not show it afterwards.
        """
        self._variables.set(key, value, target=target, git_ref=git_ref)

    def build(self, commit_sha: str, ref: str, *, target: Target, meta: Mapping[str, str]) -> Deployment:
        """Build a commit without giving it any domain, and wait until it is ready.

        Args:
            commit_sha: the commit.
            ref: its name, for people.
            target: whose variables are baked in.
            meta: what is noted beside it; with the commit it tells a build of ours again after a lost reply.

        Raises:
            BuildFailed: it ended in an error, or not in time.
            ProjectNotLinked: the project is connected to no repository, or to one that cannot be named.
            ServiceRefused: the repository that it is connected to has no such commit.
        """
        link = self.project().link
        source = link.source(ref, commit_sha) if link is not None else None
        if source is None:
            raise ProjectNotLinked(self._project_id, link.type if link is not None else None)
        body: dict[str, JsonValue] = {
            "name": self._project_id,
            "project": self._project_id,
            "gitSource": source,
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
        self._moves.move(deployment_id, f"/v10/projects/{self._project_id}/promote/{deployment_id}")

    def rollback(self, deployment_id: str) -> None:
        """Move production's address back to a deployment that it served before.

        Raises:
            PromotionFailed: it did not move.
            ServiceRefused: it never served production.
        """
        self._moves.move(deployment_id, f"/v1/projects/{self._project_id}/rollback/{deployment_id}")

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
        return count_requests(lambda: self._service.stream(path, timeout_s=seconds + 5), seconds=seconds, stop=stop)

    def _repeatable(
        self, method: str, path: str, body: dict[str, JsonValue], parameters: Mapping[str, str] | None = None
    ) -> None:
        """A change that comes out the same when it is asked for twice: after a lost reply it is."""
        for left in (2, 1, 0):
            try:
                self._service.change(method, path, IgnoredAnswer, body, parameters)
            except LostReply:
                if not left:
                    raise
            else:
                return

    def _made_once(
        self, body: dict[str, JsonValue], commit_sha: str, target: Target, meta: Mapping[str, str]
    ) -> Deployment:
        release = meta.get("releaseId", "")
        builds = self._builds(commit_sha, target, release)
        for build in builds:
            if not build.failed:
                return build
        try:
            made = self._service.change("POST", "/v13/deployments", Deployment, body, {"forceNew": "1"})
        except LostReply:
            if (found := self._new_build(commit_sha, target, release, {build.id for build in builds})) is None:
                raise
            return found
        if made is None:
            raise ServiceAnswerUnknown("Vercel", "POST /v13/deployments", "the answer does not say which build it is")
        return made

    def _new_build(self, commit_sha: str, target: Target, release: str, known: set[str]) -> Deployment | None:
        for _ in range(_LOOKS):
            for build in self._builds(commit_sha, target, release):
                if build.id not in known:
                    return build
            time.sleep(self._poll_s)
        return None

    def _builds(self, commit_sha: str, target: Target, release: str) -> list[Deployment]:
        """The builds of a commit that a release asked for, newest first; none can be told without a release."""
        if not release:
            return []
        asked = {"projectId": self._project_id, "limit": 100}
        listed = self._service.read("/v6/deployments", Deployments, asked).deployments
        found = [self.deployment(one.uid) for one in listed if one.meta.release_id == release]
        return [one for one in found if one.commit_sha == commit_sha and (one.target or "preview") == target]

    def _ready(self, made: Deployment) -> Deployment:
        ends, pauses = time.monotonic() + self._deadline_s, GrowingPauses(self._poll_s, _LONGEST_PAUSE_S)
        while True:
            found = self.deployment(made.id)
            if found.ready_state == "READY":
                return found
            if found.failed or time.monotonic() > ends:
                late = None if found.failed else self._deadline_s
                raise BuildFailed(found.id, found.ready_state, self._build_log(found.id), late_after_s=late)
            pauses.wait()

    def _build_log(self, deployment_id: str) -> list[str]:
        try:
            with self._service.stream(f"/v3/deployments/{deployment_id}/events", timeout_s=10) as answer:
                text = b"".join(body_chunks(answer, MOST_BYTES)).decode(errors="replace")
            events: list[JsonValue] = (
                json.loads(text)
                if text.startswith("[")
                else [json.loads(line) for line in text.splitlines() if line.strip()]
            )
            return [BuildEvent.model_validate(event).text for event in events]
        except (httpx.HTTPError, ValueError):
            return []
