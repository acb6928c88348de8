"""The Vercel client against the local Vercel, which loses replies: in the end there is exactly one effect."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from deployments.application.endpoints import BYPASS_HEADER
from deployments.errors import BuildFailed, LostReply, PromotionFailed, SharedVariable
from deployments.git.repository import Commit, ReleaseRepository
from deployments.local.hosting.faults import Fault
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.servers import HttpServer
from deployments.local.releases import make_repository
from deployments.local.vercel.api import create_vercel_app
from deployments.local.vercel.git_links import GitConnection, GitHost
from deployments.local.vercel.project import Identity, VercelProject
from deployments.local.vercel.variables import Variable
from deployments.vercel.client import Deployment, VercelClient

CUT = {"when": "after", "cut": True}
GATEWAY = {"when": "after", "status": 524, "body": "<html><h1>A timeout occurred</h1></html>"}
NEVER_ARRIVED = {"when": "before", "cut": True}
LIMITED = {"when": "before", "status": 429, "headers": {"Retry-After": "0.2"}}
SPOILED = pytest.mark.parametrize("loss", [CUT, NEVER_ARRIVED], ids=["cut", "never arrived"])


class Vercel:
    """A Vercel of its own, whose faults can be set and whose state can be seen."""

    def __init__(self, project: VercelProject, server: HttpServer) -> None:
        self.project = project
        self.url = server.url
        identity = project.identity
        self.client = VercelClient(
            server.url, SecretStr(identity.token), identity.team_id, identity.project_id, poll_s=0.05, deadline_s=60
        )

    def lose(self, method: str, path: str, loss: Mapping[str, object]) -> None:
        fault = Fault.model_validate({"method": method, "path": path, **loss})
        httpx.post(f"{self.url}/_local/faults", json=fault.model_dump(mode="json"), trust_env=False).raise_for_status()

    def asked(self, path: str) -> int:
        seen = httpx.get(f"{self.url}/_local/requests", trust_env=False).json()
        return sum(one["method"] == "POST" and path in one["path"] and one["status"] != 429 for one in seen)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("git"))


@pytest.fixture
def vercel(repository: Path, tmp_path: Path, spawner: Spawner) -> Iterator[Vercel]:
    (tmp_path / "builds").mkdir()
    project = VercelProject(Identity(), repository=repository, folder=tmp_path / "builds", spawner=spawner)
    with HttpServer("vercel", create_vercel_app(project)) as server:
        project.config_url = server.url
        yield Vercel(project, server)
        project.close()


@pytest.fixture
def commit(repository: Path, tmp_path: Path) -> Commit:
    return ReleaseRepository(str(repository), tmp_path / "cache").resolve("v1")


def build(vercel: Vercel, commit: Commit, release: str = "r1") -> Deployment:
    return vercel.client.build(commit.sha, commit.ref, target="production", meta={"releaseId": release})


@pytest.mark.parametrize("loss", [CUT, GATEWAY, LIMITED], ids=["cut", "gateway", "limited"])
def test_one_build_is_made(vercel: Vercel, commit: Commit, loss: Mapping[str, object]) -> None:
    vercel.lose("POST", "/v13/deployments", loss)
    built = build(vercel, commit)
    assert built.ready_state == "READY"
    assert list(vercel.project.builds) == [built.id]


def test_a_build_that_never_arrived_is_made_when_it_is_asked_for_again(vercel: Vercel, commit: Commit) -> None:
    vercel.lose("POST", "/v13/deployments", NEVER_ARRIVED)
    with pytest.raises(LostReply) as caught:
        build(vercel, commit)
    assert caught.value.transient
    built = build(vercel, commit)
    assert list(vercel.project.builds) == [built.id]


def test_a_build_for_production_leaves_the_address_where_it_is(vercel: Vercel, commit: Commit) -> None:
    before = build(vercel, commit, "r1")
    assert vercel.project.serving is None
    vercel.client.promote(before.id)
    build(vercel, commit, "r2")
    assert vercel.project.serving == before.id


@SPOILED
def test_the_address_moves_and_moves_back_once(vercel: Vercel, commit: Commit, loss: Mapping[str, object]) -> None:
    before, after = build(vercel, commit, "r1"), build(vercel, commit, "r2")
    vercel.client.promote(before.id)
    vercel.lose("POST", "/promote/", loss)
    vercel.client.promote(after.id)
    assert vercel.project.serving == after.id
    vercel.lose("POST", "/rollback/", loss)
    vercel.client.rollback(before.id)
    assert vercel.project.serving == before.id
    again = 1 if loss is NEVER_ARRIVED else 0
    assert (vercel.asked("/promote/"), vercel.asked("/rollback/")) == (2 + again, 1 + again)


def test_a_rollback_during_a_promote_ends_where_it_was_asked_to(vercel: Vercel, commit: Commit) -> None:
    before, after = build(vercel, commit, "r1"), build(vercel, commit, "r2")
    vercel.client.promote(before.id)
    vercel.project.move("promote", vercel.project.find(after.id))
    vercel.client.rollback(before.id)
    assert vercel.project.serving == before.id
    assert vercel.asked("/rollback/") == 1


def test_a_build_or_a_move_that_fails_is_told_and_changes_nothing(vercel: Vercel, commit: Commit) -> None:
    before, after = build(vercel, commit, "r1"), build(vercel, commit, "r2")
    vercel.client.promote(before.id)
    vercel.lose("POST", "/promote/", {"work": "failed"})
    with pytest.raises(PromotionFailed, match="ended as failed"):
        vercel.client.promote(after.id)
    assert vercel.project.serving == before.id
    vercel.lose("POST", "/v13/deployments", {"work": "failed"})
    with pytest.raises(BuildFailed, match="a fault let it fail"):
        build(vercel, commit, "r3")


@SPOILED
def test_one_variable_is_set(vercel: Vercel, loss: Mapping[str, object]) -> None:
    vercel.lose("POST", "/env$", loss)
    vercel.client.set_environment("DATABASE_URL_POOLED", SecretStr("value"), target="preview")
    assert [(one.key, one.value, one.type, one.target) for one in vercel.project.variables.every()] == [
        ("DATABASE_URL_POOLED", "value", "sensitive", ["preview"])
    ]


def test_a_variable_of_several_targets_keeps_the_value_that_it_had(vercel: Vercel) -> None:
    vercel.project.variables.set(
        Variable("DATABASE_URL_POOLED", "theirs", "plain", ["preview", "development"]), upsert=False
    )
    with pytest.raises(SharedVariable, match="untick preview: development keeps the value"):
        vercel.client.set_environment("DATABASE_URL_POOLED", SecretStr("value"), target="preview")
    assert [one.value for one in vercel.project.variables.every()] == ["theirs"]
    vercel.client.set_environment("DATABASE_URL_POOLED", SecretStr("value"), target="production")
    assert [one.value for one in vercel.project.variables.every()] == ["theirs", "value"]


@pytest.mark.parametrize("host", ["github", "gitlab", "bitbucket"])
def test_a_commit_of_each_host_is_built_and_found_again(
    host: GitHost, repository: Path, tmp_path: Path, spawner: Spawner, commit: Commit
) -> None:
    (tmp_path / "linked").mkdir()
    identity = Identity(git=GitConnection(host))
    project = VercelProject(identity, repository=repository, folder=tmp_path / "linked", spawner=spawner)
    with HttpServer("vercel", create_vercel_app(project)) as server:
        project.config_url = server.url
        vercel = Vercel(project, server)
        vercel.lose("POST", "/v13/deployments", CUT)
        built = build(vercel, commit)
        assert (built.ready_state, built.commit_sha, list(project.builds)) == ("READY", commit.sha, [built.id])
        project.close()


@SPOILED
def test_an_item_of_the_config_is_set(vercel: Vercel, loss: Mapping[str, object]) -> None:
    vercel.lose("PATCH", "/items$", loss)
    vercel.client.set_config(vercel.project.identity.config_id, "maintenance", value=True)
    assert vercel.project.items == {"maintenance": True}


def test_the_requests_that_a_build_answers_are_counted_until_the_listener_is_told_to_stop(
    vercel: Vercel, commit: Commit
) -> None:
    built, stop = build(vercel, commit), threading.Event()
    bypass = {BYPASS_HEADER: vercel.project.identity.bypass_secret}
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=built.url, headers=bypass, trust_env=False) as users:
        counting = pool.submit(vercel.client.runtime_requests, built.id, seconds=60, stop=stop)
        for _ in range(20):
            assert users.get("/api/version").status_code == 200
            stop.wait(0.05)
        stop.set()
        counted = counting.result()
    assert counted is not None
    assert 1 <= counted.requests <= 20
    assert (counted.errors, counted.failures) == (0, ())
