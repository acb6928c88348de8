import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from deployments.errors import BuildFailed, LostReply, ProjectNotLinked, PromotionFailed, ServiceRefused
from deployments.vercel.client import Deployment, VercelClient

Json = dict[str, Any]
SHA = "a" * 40
LINK = {"type": "github", "repoId": 7, "org": "tu-org", "repo": "app"}


class Vercel:
    """Vercel as far as the client knows it: a build is ready, and the address moved, after some looks."""

    def __init__(self) -> None:
        self.builds: dict[str, Json] = {}
        self.serving: str | None = None
        self.move: Json | None = None
        self.link: Json | None = LINK
        self.changes: list[tuple[str, str]] = []
        self.bodies: list[Json] = []
        self.lose: list[str] = []
        self.looks = 2
        self.becomes = "READY"
        self.job_ends_as = "succeeded"
        self.refusals: list[httpx.Response] = []
        self.log: httpx.Response = httpx.Response(200, json=[{"text": "step 1"}, {"text": "no such module"}])

    def client(self, deadline_s: float = 5) -> VercelClient:
        transport = httpx.MockTransport(self.answer)
        return VercelClient(
            "http://vercel.test/",
            SecretStr("tok-66bb"),
            "team_1",
            "prj_1",
            transport=transport,
            poll_s=0,
            deadline_s=deadline_s,
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.params["teamId"] == "team_1"
        method, path = request.method, request.url.path
        if method == "GET":
            return self.read(path)
        self.changes.append((method, path))
        self.bodies.append(json.loads(request.content))
        if self.refusals:
            return self.refusals.pop(0)
        lost = self.lose.pop(0) if self.lose else ""
        if lost == "before":
            raise httpx.ReadError("cut")
        reply = self.change(path, self.bodies[-1])
        if lost == "after":
            raise httpx.ReadError("cut")
        return reply

    def read(self, path: str) -> httpx.Response:
        if path == "/v9/projects/prj_1":
            shown = self.project()
            self.advance()
            return httpx.Response(200, json=shown)
        if path == "/v6/deployments":
            listed = [{"uid": one["id"], "meta": one["meta"]} for one in reversed(self.builds.values())]
            return httpx.Response(200, json={"deployments": listed})
        if path.endswith("/events"):
            return self.log
        build = self.builds[path.rpartition("/")[2]]
        build["looks"] -= 1
        if build["looks"] <= 0:
            build["readyState"] = build["becomes"]
        return httpx.Response(200, json=build)

    def project(self) -> Json:
        targets = {"production": {"id": self.serving}} if self.serving else {}
        return {"id": "prj_1", "name": "app", "link": self.link, "targets": targets, "lastAliasRequest": self.move}

    def advance(self) -> None:
        if self.move is not None and self.move["jobStatus"] == "pending":
            self.move = {**self.move, "jobStatus": "in-progress"}
        elif self.move is not None and self.move["jobStatus"] == "in-progress":
            self.move = {**self.move, "jobStatus": self.job_ends_as}
            if self.job_ends_as == "succeeded":
                self.serving = self.move["toDeploymentId"]

    def change(self, path: str, body: Json) -> httpx.Response:
        if path == "/v13/deployments":
            return httpx.Response(200, json=self.build(body["gitSource"], body["meta"], body.get("target")))
        if "/promote/" in path or "/rollback/" in path:
            self.begin_move(path.rpartition("/")[2], kind=path.split("/")[4])
            return httpx.Response(201, json={})
        return httpx.Response(201, json={"status": "ok"})

    def build(self, source: Json, meta: Json, target: str | None = None) -> Json:
        name = f"dpl_{len(self.builds)}"
        self.builds[name] = {
            "id": name,
            "url": f"{name}.vercel.app",
            "readyState": "QUEUED",
            "target": target,
            "gitSource": source,
            "meta": meta,
            "looks": self.looks,
            "becomes": self.becomes,
        }
        return self.builds[name]

    def begin_move(self, to: str, kind: str = "promote", status: str = "pending") -> None:
        at = 1 + (self.move["requestedAt"] if self.move else 0)
        self.move = {"type": kind, "jobStatus": status, "toDeploymentId": to, "requestedAt": at}


@pytest.fixture
def vercel() -> Vercel:
    return Vercel()


def build(vercel: Vercel, release: str = "r1", deadline_s: float = 5) -> Deployment:
    client = vercel.client(deadline_s)
    return client.build(SHA, "v2", target="production", meta={"releaseId": release})


# --- builds


def test_a_build_is_asked_for_without_domains_and_awaited(vercel: Vercel) -> None:
    built = build(vercel)
    assert (built.id, built.ready_state, built.commit_sha) == ("dpl_0", "READY", SHA)
    assert vercel.bodies == [
        {
            "name": "prj_1",
            "project": "prj_1",
            "gitSource": {"type": "github", "repoId": 7, "ref": "v2", "sha": SHA},
            "meta": {"releaseId": "r1"},
            "autoAssignCustomDomains": False,
            "target": "production",
        }
    ]


def test_a_bare_host_becomes_an_address(vercel: Vercel) -> None:
    assert build(vercel).url == "https://dpl_0.vercel.app"


def test_an_address_stays_as_it_is(vercel: Vercel) -> None:
    vercel.build({"sha": SHA}, {})["url"] = "http://127.0.0.1:4100"
    assert vercel.client().deployment("dpl_0").url == "http://127.0.0.1:4100"


@pytest.mark.parametrize("becomes", ["READY", "ERROR"])
def test_a_build_whose_reply_was_lost_is_found_by_its_release(vercel: Vercel, becomes: str) -> None:
    vercel.build({"sha": SHA}, {"releaseId": "r0"}, "production")
    vercel.lose, vercel.becomes = ["after"], becomes
    if becomes == "READY":
        assert build(vercel).id == "dpl_1"
    else:
        with pytest.raises(BuildFailed, match="deployment dpl_1 ended as ERROR"):
            build(vercel)
    assert len(vercel.changes) == 1


def test_a_build_that_a_lost_call_did_not_begin_is_told_as_lost(vercel: Vercel) -> None:
    vercel.lose = ["before"]
    with pytest.raises(LostReply):
        build(vercel)
    assert build(vercel).id == "dpl_0"


def test_a_release_that_comes_back_gets_the_build_it_asked_for(vercel: Vercel) -> None:
    assert build(vercel).id == build(vercel).id
    assert len(vercel.changes) == 1


@pytest.mark.parametrize(
    ("sha", "release", "target"), [("b" * 40, "r1", "production"), (SHA, "r2", "production"), (SHA, "r1", None)]
)
def test_a_build_of_another_commit_release_or_target_is_not_taken(
    vercel: Vercel, sha: str, release: str, target: str | None
) -> None:
    vercel.build({"sha": sha}, {"releaseId": release}, target)
    assert build(vercel).id == "dpl_1"


def test_a_build_that_failed_is_told_with_its_log_and_made_anew_when_asked_again(vercel: Vercel) -> None:
    vercel.becomes = "ERROR"
    with pytest.raises(BuildFailed, match=r"deployment dpl_0 ended as ERROR: step 1\nno such module"):
        build(vercel)
    vercel.becomes = "READY"
    assert build(vercel).id == "dpl_1"


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (httpx.Response(200, text='{"text": "a"}\n{"text": "b"}\n'), ": a\nb"),
        (httpx.Response(200, text="<html>"), ""),
        (httpx.Response(500, text=""), ""),
    ],
)
def test_the_log_of_a_failed_build_is_read_as_far_as_it_can_be(vercel: Vercel, log: httpx.Response, told: str) -> None:
    vercel.becomes, vercel.log = "ERROR", log
    with pytest.raises(BuildFailed) as caught:
        build(vercel)
    assert str(caught.value) == f"deployment dpl_0 ended as ERROR{told}"


def test_a_build_that_is_not_ready_in_time_is_told(vercel: Vercel) -> None:
    vercel.looks = 10**9
    with pytest.raises(BuildFailed, match=r"deployment dpl_\d is still QUEUED after 0\.\d+ s"):
        build(vercel, deadline_s=0.05)


def test_a_project_without_repository_is_told(vercel: Vercel) -> None:
    vercel.link = None
    with pytest.raises(ProjectNotLinked, match="Vercel project prj_1 is connected to no git repository"):
        build(vercel)


GITLAB = {"type": "gitlab", "projectId": "31", "projectName": "app", "projectNamespace": "tu-org"}
BITBUCKET = {"type": "bitbucket", "uuid": "{r-1}", "workspaceUuid": "{w-1}", "owner": "tu-org", "slug": "app"}


@pytest.mark.parametrize(
    ("link", "named"),
    [
        (LINK, {"type": "github", "repoId": 7}),
        ({**LINK, "type": "github-custom-host"}, {"type": "github-custom-host", "repoId": 7}),
        (GITLAB, {"type": "gitlab", "projectId": "31"}),
        (BITBUCKET, {"type": "bitbucket", "repoUuid": "{r-1}", "workspaceUuid": "{w-1}"}),
    ],
    ids=["GitHub", "GitHub Enterprise", "GitLab", "Bitbucket"],
)
def test_a_build_names_the_repository_as_its_host_does(vercel: Vercel, link: Json, named: Json) -> None:
    vercel.link = link
    assert build(vercel).commit_sha == SHA
    assert vercel.bodies[0]["gitSource"] == {**named, "ref": "v2", "sha": SHA}


@pytest.mark.parametrize("link", [{"type": "gitea", "id": 1}, {"type": "gitlab"}, {"type": "bitbucket", "uuid": "{r}"}])
def test_a_link_that_names_no_repository_stops_a_build_and_no_other_read(vercel: Vercel, link: Json) -> None:
    vercel.link, vercel.serving = link, "dpl_9"
    assert vercel.client().project().production_deployment_id == "dpl_9"
    with pytest.raises(ProjectNotLinked, match=f"is connected to {link['type']}, and does not say to which"):
        build(vercel)


@pytest.mark.parametrize("host", ["github", "gitlab", "bitbucket"])
def test_the_commit_of_a_build_is_read_from_what_any_host_notes(vercel: Vercel, host: str) -> None:
    vercel.build({}, {f"{host}CommitSha": SHA})
    assert vercel.client().deployment("dpl_0").commit_sha == SHA


# --- the production address


@pytest.mark.parametrize("kind", ["promote", "rollback"])
def test_the_address_moves_once(vercel: Vercel, kind: str) -> None:
    vercel.serving = "dpl_0"
    getattr(vercel.client(), kind)("dpl_1")
    assert vercel.serving == "dpl_1"
    assert len(vercel.changes) == 1
    assert kind in vercel.changes[0][1]


def test_an_address_that_is_there_already_is_not_moved(vercel: Vercel) -> None:
    vercel.serving = "dpl_1"
    vercel.client().promote("dpl_1")
    assert vercel.changes == []


def test_a_move_whose_reply_was_lost_is_watched_and_not_asked_for_again(vercel: Vercel) -> None:
    vercel.lose = ["after"]
    vercel.client().promote("dpl_1")
    assert (vercel.serving, len(vercel.changes)) == ("dpl_1", 1)


def test_a_move_that_a_lost_call_did_not_begin_is_asked_for_again(vercel: Vercel) -> None:
    vercel.lose = ["before"]
    vercel.client().promote("dpl_1")
    assert (vercel.serving, len(vercel.changes)) == ("dpl_1", 2)


def test_a_move_that_is_never_begun_is_told(vercel: Vercel) -> None:
    vercel.lose = ["before"] * 3
    with pytest.raises(PromotionFailed, match="did not move to dpl_1, though it was asked to"):
        vercel.client().promote("dpl_1")


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_move_that_fails_is_told(vercel: Vercel, status: str) -> None:
    vercel.job_ends_as = status
    with pytest.raises(PromotionFailed, match=f"the promote to dpl_1 ended as {status}"):
        vercel.client().promote("dpl_1")


def test_an_earlier_move_that_failed_is_not_taken_for_this_one(vercel: Vercel) -> None:
    vercel.begin_move("dpl_1", status="failed")
    vercel.client().promote("dpl_1")
    assert vercel.serving == "dpl_1"


def test_a_rollback_waits_for_a_promote_under_way_and_undoes_it(vercel: Vercel) -> None:
    vercel.serving = "dpl_0"
    vercel.begin_move("dpl_1")
    vercel.client().rollback("dpl_0")
    assert vercel.serving == "dpl_0"
    assert [path for _, path in vercel.changes] == ["/v1/projects/prj_1/rollback/dpl_0"]


def test_a_move_that_never_ends_is_told(vercel: Vercel) -> None:
    vercel.job_ends_as = "in-progress"
    with pytest.raises(PromotionFailed, match="did not move to dpl_1 in time"):
        vercel.client(deadline_s=0.05).promote("dpl_1")
    with pytest.raises(PromotionFailed, match="an earlier move"):
        vercel.client(deadline_s=0.05).rollback("dpl_0")


def conflict(message: str) -> httpx.Response:
    return httpx.Response(409, json={"error": {"code": "conflict", "message": message}})


def test_a_move_refused_for_another_one_is_asked_for_after_it(vercel: Vercel) -> None:
    vercel.refusals = [conflict("another promote is in progress")]
    vercel.serving, answer = "dpl_0", vercel.answer

    def begun_meanwhile(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and vercel.refusals:
            vercel.begin_move("dpl_9")
        return answer(request)

    vercel.answer = begun_meanwhile
    vercel.client().promote("dpl_1")
    assert vercel.serving == "dpl_1"


@pytest.mark.parametrize("status", [409, 422])
def test_a_move_that_is_refused_is_told_as_vercel_says_it(vercel: Vercel, status: int) -> None:
    error = {"error": {"code": "not_a_rollback_candidate", "message": "never aliased"}}
    vercel.refusals = [httpx.Response(status, json=error)]
    with pytest.raises(ServiceRefused, match=r"\(not_a_rollback_candidate\): never aliased"):
        vercel.client().rollback("dpl_1")


# --- configuration


def test_an_item_of_the_config_is_put_whether_it_is_there_or_not(vercel: Vercel) -> None:
    vercel.client().set_config("ecfg_1", "maintenance", value=True)
    assert vercel.changes == [("PATCH", "/v1/edge-config/ecfg_1/items")]
    assert vercel.bodies == [{"items": [{"operation": "upsert", "key": "maintenance", "value": True}]}]


def test_a_service_that_loses_every_reply_is_given_up(vercel: Vercel) -> None:
    vercel.lose = ["before"] * 3
    with pytest.raises(LostReply):
        vercel.client().set_config("ecfg_1", "maintenance", value=True)


def test_a_busy_vercel_may_have_done_what_it_was_asked(vercel: Vercel) -> None:
    vercel.refusals = [httpx.Response(503)]
    with pytest.raises(LostReply):
        vercel.client().build(SHA, "v2", target="preview", meta={})
    assert len(vercel.changes) == 1
