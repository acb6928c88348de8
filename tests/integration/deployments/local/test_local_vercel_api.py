"""The local Vercel over HTTP, as a client that knows nothing of ours reads it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.git.repository import ReleaseRepository
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.servers import HttpServer
from deployments.local.releases import REFS, has_commit, make_repository
from deployments.local.vercel.api import create_vercel_app
from deployments.local.vercel.production import RuntimeLog, Upstream, create_address_app
from deployments.local.vercel.project import Identity, VercelProject

IDENTITY = Identity()
AUTHORIZED = {"Authorization": f"Bearer {IDENTITY.token}"}
PROJECT = IDENTITY.project_id
BYPASS = {"x-vercel-protection-bypass": IDENTITY.bypass_secret}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("git"))


@pytest.fixture(scope="module")
def vercel(repository: Path, tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[httpx.Client]:
    project = VercelProject(IDENTITY, repository=repository, folder=tmp_path_factory.mktemp("b"), spawner=spawner)
    with (
        HttpServer("vercel", create_vercel_app(project)) as server,
        httpx.Client(
            base_url=server.url, headers=AUTHORIZED, params={"teamId": IDENTITY.team_id}, trust_env=False
        ) as client,
    ):
        project.config_url = server.url
        yield client
        project.close()


def read(vercel: httpx.Client, path: str, **query: str) -> Any:
    answer = vercel.get(path, params={"teamId": IDENTITY.team_id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def until(read_state: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    ends = time.monotonic() + 30
    while not done(state := read_state()):
        assert time.monotonic() < ends, state
        time.sleep(0.02)
    return state


def sha_of(repository: Path, tmp_path: Path, ref: str) -> str:
    return ReleaseRepository(str(repository), tmp_path / "cache").resolve(ref).sha


def ask_for(vercel: httpx.Client, sha: str, **changed: object) -> httpx.Response:
    project = read(vercel, f"/v9/projects/{PROJECT}")
    source = {"type": "github", "repoId": project["link"]["repoId"], "ref": "v1", "sha": sha}
    body = {"name": "cjhirashi-agents", "target": "production", "gitSource": source, "meta": {"release": "r1"}}
    return vercel.post("/v13/deployments", json={**body, "autoAssignCustomDomains": False, **changed})


@pytest.fixture
def built(vercel: httpx.Client, repository: Path, tmp_path: Path) -> dict[str, Any]:
    asked = ask_for(vercel, sha_of(repository, tmp_path, "v1"))
    assert asked.status_code == 200
    assert asked.json()["readyState"] == "QUEUED"
    path = f"/v13/deployments/{asked.json()['id']}"
    return until(lambda: read(vercel, path), lambda now: now["readyState"] not in {"QUEUED", "BUILDING"})


def test_a_build_runs_the_commit_behind_its_own_protected_address(built: dict[str, Any]) -> None:
    assert (built["readyState"], built["readySubstate"], built["aliasAssigned"]) == ("READY", "STAGED", False)
    assert (built["meta"]["release"], built["meta"]["githubCommitSha"]) == ("r1", built["gitSource"]["sha"])
    assert httpx.get(f"{built['url']}/api/version", trust_env=False).status_code == 401
    answer = httpx.get(f"{built['url']}/api/version", headers=BYPASS, trust_env=False)
    assert answer.json()["commit"] == built["gitSource"]["sha"]
    # It was given no database: it says so instead of dying.
    assert httpx.get(f"{built['url']}/api/health", headers=BYPASS, trust_env=False).status_code == 503


def test_promotion_and_rollback_are_requests_that_end_by_themselves(
    vercel: httpx.Client, built: dict[str, Any], repository: Path, tmp_path: Path
) -> None:
    def moved(kind: str, to: str) -> None:
        last = until(
            lambda: read(vercel, f"/v9/projects/{PROJECT}")["lastAliasRequest"],
            lambda now: now is not None and now["jobStatus"] == "succeeded" and now["toDeploymentId"] == to,
        )
        assert last["type"] == kind
        assert read(vercel, f"/v9/projects/{PROJECT}")["targets"]["production"]["id"] == to

    second = ask_for(vercel, sha_of(repository, tmp_path, "v2")).json()["id"]
    until(lambda: read(vercel, f"/v13/deployments/{second}"), lambda now: now["readyState"] == "READY")
    assert vercel.post(f"/v10/projects/{PROJECT}/promote/{built['id']}").status_code == 201
    moved("promote", built["id"])
    assert vercel.post(f"/v10/projects/{PROJECT}/promote/{second}").status_code == 201
    moved("promote", second)
    candidates = read(vercel, "/v6/deployments", rollbackCandidate="true")["deployments"]
    assert built["id"] in [one["uid"] for one in candidates]
    assert vercel.post(f"/v9/projects/{PROJECT}/rollback/{built['id']}").status_code == 201
    moved("rollback", built["id"])
    assert read(vercel, f"/v13/deployments/{built['id']}")["readySubstate"] == "PROMOTED"


def test_a_production_build_takes_the_address_unless_it_is_told_not_to_or_production_is_rolled_back(
    vercel: httpx.Client, built: dict[str, Any], repository: Path, tmp_path: Path
) -> None:
    def ready(**changed: object) -> dict[str, Any]:
        path = f"/v13/deployments/{ask_for(vercel, sha_of(repository, tmp_path, 'v2'), **changed).json()['id']}"
        return until(lambda: read(vercel, path), lambda now: now["readyState"] == "READY")

    def move(kind: str, to: str) -> None:
        version = {"promote": "v10", "rollback": "v9"}[kind]
        assert vercel.post(f"/{version}/projects/{PROJECT}/{kind}/{to}").status_code == 201
        until(
            lambda: read(vercel, f"/v9/projects/{PROJECT}")["lastAliasRequest"],
            lambda now: (now["type"], now["toDeploymentId"], now["jobStatus"]) == (kind, to, "succeeded"),
        )

    move("promote", built["id"])
    assert ready(autoAssignCustomDomains=False)["aliasAssigned"] is False
    assert ready(autoAssignCustomDomains=None, target=None)["aliasAssigned"] is False
    taken = ready(autoAssignCustomDomains=True)
    assert (taken["aliasAssigned"], taken["readySubstate"]) == (True, "PROMOTED")
    move("rollback", built["id"])
    assert ready(autoAssignCustomDomains=True)["aliasAssigned"] is False
    move("promote", taken["id"])
    assert ready(autoAssignCustomDomains=True)["aliasAssigned"] is True


@pytest.mark.parametrize(
    ("sha", "repo", "status"), [("0" * 40, None, 400), ("abc", None, 400), (None, "not-this-one", 400)]
)
def test_a_build_of_what_is_not_there_is_refused_at_once(
    vercel: httpx.Client, repository: Path, tmp_path: Path, sha: str | None, repo: str | None, status: int
) -> None:
    known = sha_of(repository, tmp_path, "v1")
    before = len(read(vercel, "/v6/deployments", limit="100")["deployments"])
    source = {"type": "github", "repoId": repo or IDENTITY.git.number, "ref": "v1", "sha": sha or known}
    refused = ask_for(vercel, known, gitSource=source)
    assert refused.status_code == status, refused.text
    assert set(refused.json()["error"]) == {"code", "message"}
    assert len(read(vercel, "/v6/deployments", limit="100")["deployments"]) == before


@pytest.mark.parametrize(
    ("changed", "status"), [({"target": "preview"}, 400), ({"project": "prj_another"}, 404)], ids=["target", "project"]
)
def test_a_build_for_what_is_no_target_or_another_project_is_refused(
    vercel: httpx.Client, repository: Path, tmp_path: Path, changed: dict[str, str], status: int
) -> None:
    refused = ask_for(vercel, sha_of(repository, tmp_path, "v1"), **changed)
    assert refused.status_code == status
    assert set(refused.json()["error"]) == {"code", "message"}


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("PUT", 405)])
def test_a_route_that_is_unknown_is_refused_as_vercel_refuses(vercel: httpx.Client, method: str, status: int) -> None:
    path = "/v1/nothing" if status == 404 else "/v13/deployments"
    refused = vercel.request(method, path)
    assert (refused.status_code, set(refused.json()["error"])) == (status, {"code", "message"})


@pytest.mark.parametrize(
    ("headers", "team", "status"),
    [({"Authorization": "Bearer wrong"}, IDENTITY.team_id, 403), (AUTHORIZED, "team_other", 403), ({}, "", 403)],
    ids=["another token", "another team", "neither"],
)
def test_the_token_and_the_team_are_checked(
    vercel: httpx.Client, headers: dict[str, str], team: str, status: int
) -> None:
    url = f"{vercel.base_url}/v9/projects/{PROJECT}"
    answer = httpx.get(url, headers=headers, params={"teamId": team}, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, "forbidden")


def test_what_does_not_exist_is_not_found(vercel: httpx.Client) -> None:
    for path in (
        "/v9/projects/prj_other",
        "/v13/deployments/dpl_none",
        f"/v1/projects/{PROJECT}/deployments/dpl_none/runtime-logs",
        "/v1/edge-config/ecfg_other/items",
    ):
        assert vercel.get(path).status_code == 404, path


def test_a_secret_variable_is_kept_and_not_given_back(vercel: httpx.Client) -> None:
    path = f"/v10/projects/{PROJECT}/env"
    secret = {"key": "KEY", "value": "sec-1", "type": "encrypted", "target": ["production"]}
    assert vercel.post(path, json=secret).status_code == 201
    assert upserted(vercel, {**secret, "value": "sec-2"}).status_code == 201
    listed = [one for one in read(vercel, path)["envs"] if one["key"] == "KEY"]
    assert [one["value"] for one in listed] == [""]
    assert vercel.delete(f"/v9/projects/{PROJECT}/env/{listed[0]['id']}").status_code == 200
    assert [one for one in read(vercel, path)["envs"] if one["key"] == "KEY"] == []


def upserted(vercel: httpx.Client, body: object) -> httpx.Response:
    asked = {"teamId": IDENTITY.team_id, "upsert": "true"}
    return vercel.post(f"/v10/projects/{PROJECT}/env", json=body, params=asked)


def test_an_upsert_splits_no_variable_by_target(vercel: httpx.Client) -> None:
    path = f"/v10/projects/{PROJECT}/env"
    shared = {"key": "SHARED", "value": "all", "type": "encrypted", "target": ["production", "preview"]}
    made = vercel.post(path, json=shared).json()["created"]
    one_target = {**shared, "value": "mine", "target": ["production"]}
    for refused in (vercel.post(path, json=shared), upserted(vercel, one_target)):
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ENV_CONFLICT")
    several = upserted(vercel, [one_target, {**one_target, "key": "ALONE"}])
    assert several.status_code == 201
    assert [one["key"] for one in several.json()["created"]] == ["ALONE"]
    assert [one["error"]["code"] for one in several.json()["failed"]] == ["ENV_CONFLICT"]
    assert upserted(vercel, {**shared, "target": ["preview", "production"]}).json()["created"]["id"] == made["id"]
    shown = [one["target"] for one in read(vercel, path)["envs"] if one["key"] == "SHARED"]
    assert shown == [["production", "preview"]]


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "nonsense"},
        {"key": "BAD KEY!"},
        {"target": ["staging"]},
        {"target": []},
        {"type": "sensitive", "target": ["development"]},
        {"gitBranch": "main"},
    ],
    ids=str,
)
def test_a_malformed_variable_is_refused(vercel: httpx.Client, changed: dict[str, object]) -> None:
    body = {"key": "ODD", "value": "v", "type": "encrypted", "target": ["production"], **changed}
    assert upserted(vercel, body).status_code == 400


def test_a_variable_that_is_there_does_not_become_sensitive_or_readable(vercel: httpx.Client) -> None:
    body = {"key": "KIND", "value": "v", "type": "encrypted", "target": ["preview"]}
    assert upserted(vercel, body).status_code == 201
    assert upserted(vercel, {**body, "type": "sensitive"}).status_code == 400
    assert upserted(vercel, {**body, "key": "SECRET", "type": "sensitive"}).status_code == 201
    assert upserted(vercel, {**body, "key": "SECRET"}).status_code == 400


def test_config_items_are_changed_with_the_token_and_read_with_the_config_s_own(vercel: httpx.Client) -> None:
    config = IDENTITY.config_id
    changed = vercel.patch(
        f"/v1/edge-config/{config}/items",
        json={"items": [{"operation": "upsert", "key": "maintenance", "value": True}]},
    )
    assert changed.status_code == 200
    assert read(vercel, f"/v1/edge-config/{config}/items") == [{"key": "maintenance", "value": True}]
    url = f"{vercel.base_url}/{config}/item/maintenance"
    assert httpx.get(url, params={"token": IDENTITY.config_token}, trust_env=False).json() is True
    assert httpx.get(url, params={"token": "wrong"}, trust_env=False).status_code == 401


def test_the_runtime_log_tells_of_each_request_from_now_on(vercel: httpx.Client, built: dict[str, Any]) -> None:
    def ask(path: str) -> None:
        httpx.get(f"{built['url']}{path}", headers=BYPASS, trust_env=False)

    ask("/api/before")
    seen: list[str] = []
    path = f"/v1/projects/{PROJECT}/deployments/{built['id']}/runtime-logs"
    with vercel.stream("GET", path) as log:
        lines = log.iter_lines()
        # The first line, even a blank one, tells that the log is being followed.
        next(lines)
        ask("/api/version")
        ask("/api/health")
        while len(seen) < 2:
            seen += [line for line in [next(lines)] if line.strip()]
    assert [
        '"/api/version", "responseStatusCode": 200' in seen[0],
        '"/api/health", "responseStatusCode": 503' in seen[1],
    ] == [
        True,
        True,
    ], seen


def test_traffic_moves_between_processes_without_a_failed_request(spawner: Spawner, repository: Path) -> None:
    del spawner, repository
    logs = {name: RuntimeLog() for name in ("old", "new")}

    def backend(name: str) -> HttpServer:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": name.encode()})

        return HttpServer(name, answer)

    serving = ["old"]
    with backend("old") as old, backend("new") as new:
        urls = {"old": old.url, "new": new.url}
        address = create_address_app(lambda: Upstream(urls[serving[0]], logs[serving[0]]), bypass_secret=None)
        with (
            HttpServer("production", address) as production,
            httpx.Client(base_url=production.url, trust_env=False) as client,
            ThreadPoolExecutor(4) as pool,
        ):
            answers = [pool.submit(lambda: client.get("/").text) for _ in range(100)]
            serving[0] = "new"
            answers += [pool.submit(lambda: client.get("/").text) for _ in range(100)]
            told = [answer.result() for answer in answers]
    assert set(told) <= {"old", "new"}
    assert told[-1] == "new"
    assert logs["old"].end + logs["new"].end == 200
    assert logs["new"].end >= 100


def test_every_ref_of_the_released_repository_is_a_commit_with_revisions_and_an_application(
    repository: Path, tmp_path: Path
) -> None:
    released = ReleaseRepository(str(repository), tmp_path / "cache")
    for ref in REFS:
        sha = released.resolve(ref.name).sha
        assert has_commit(repository, sha)
        revisions = released.extract(sha, "migrations/versions", tmp_path / ref.name / "versions")
        assert [path.name for path in revisions.glob("20250122_1030*.py")] == ["20250122_1030_init_mvp_core.py"]
        application = released.extract(sha, "application", tmp_path / ref.name / "application")
        assert (application / "main.py").is_file()
    again = make_repository(tmp_path / "again")
    assert ReleaseRepository(str(again), tmp_path / "cache2").resolve("v2").sha == released.resolve("v2").sha
