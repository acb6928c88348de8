"""The local Neon API, read by an independent client and by plain HTTP."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from neon_api import NeonAPI

from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.servers import HttpServer
from deployments.local.neon.api import create_neon_app
from deployments.local.neon.branches import BranchStore
from deployments.local.neon.limits import Limits
from deployments.local.neon.project import Seed, open_project
from deployments.local.postgres.cluster import data_root, remove_data_root

_KEY = "napi_the_right_key"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[BranchStore]:
    state = tmp_path_factory.mktemp("neon")
    with open_project(data_root(state), spawner=spawner, limits=Limits(branches=4, root_branches=2)) as store:
        yield store
    remove_data_root(state)


@pytest.fixture(scope="module")
def base_url(store: BranchStore) -> Iterator[str]:
    with HttpServer("neon", create_neon_app(store, api_key=_KEY)) as server:
        yield f"{server.url}/api/v2/"


@pytest.fixture
def neon(base_url: str, store: BranchStore) -> Iterator["_Neon"]:
    headers = {"Authorization": f"Bearer {_KEY}", "X-Request-ID": "asked-by-a-test"}
    with httpx.Client(base_url=f"{base_url}projects/{store.project.id}/", headers=headers) as http:
        yield _Neon(http)


@pytest.fixture
def independent(base_url: str) -> Iterator[Any]:
    client: Any = NeonAPI(_KEY, base_url=base_url)
    yield client
    client._session.close()


class _Neon:
    """The few calls that these tests make."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def get(self, path: str, **params: str | int) -> Json:
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: Json | None = None, **params: str) -> tuple[int, Json]:
        answer = self.http.request(method, path, json=body, params=params)
        assert answer.is_error, answer.text
        error = answer.json()
        assert set(error) == {"code", "message", "request_id"}
        assert error["request_id"] == answer.headers["x-request-id"] == "asked-by-a-test"
        return answer.status_code, error

    def done(self, method: str, path: str, body: Json | None = None, **params: str) -> Json:
        """Ask for a change, and wait until all its operations have succeeded."""
        answer = self.http.request(method, path, json=body, params=params)
        assert answer.is_success, answer.text
        begun = answer.json()
        for operation in begun["operations"]:
            assert self.ended(operation["id"]) == "finished"
        return begun

    def ended(self, operation_id: str) -> str:
        deadline = time.monotonic() + 120
        while (found := self.get(f"operations/{operation_id}")["operation"])["status"] in {"scheduling", "running"}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return str(found["status"])

    def branch(self, name: str) -> Json:
        return next(branch for branch in self.get("branches")["branches"] if branch["name"] == name)


def test_independent_client_reads_every_answer(store: BranchStore, independent: Any, neon: _Neon) -> None:
    project_id = store.project.id
    assert [project.id for project in independent.projects().projects] == [project_id]
    assert independent.project(project_id).project.pg_version >= 15
    branches = {branch.name: branch for branch in independent.branches(project_id).branches}
    assert set(branches) == {"main", "staging"}
    main, staging = branches["main"], branches["staging"]
    assert (main.default, main.protected, main.parent_id) == (True, True, None)
    assert (staging.default, staging.protected, staging.parent_id) == (False, False, main.id)
    assert independent.branch(project_id, main.id).branch.current_state == "ready"
    endpoints = independent.endpoints(project_id).endpoints
    assert {endpoint.branch_id for endpoint in endpoints} == {main.id, staging.id}
    assert independent.endpoint(project_id, endpoints[0].id).endpoint.host.startswith("127.0.0.1:")
    assert [found.name for found in independent.databases(project_id, main.id).databases] == [Seed.database]
    assert {role.name for role in independent.roles(project_id, main.id).roles} == {Seed.owner, Seed.app}
    password = neon.get(f"branches/{main.id}/roles/{Seed.owner}/reveal_password")["password"]
    uri = independent.connection_uri(project_id, Seed.database, Seed.owner).uri
    assert password in uri
    with psycopg.connect(uri) as connection:
        assert connection.execute("SELECT current_user::text, current_database()::text").fetchone() == (
            Seed.owner,
            Seed.database,
        )


def test_independent_client_makes_and_deletes_a_branch(store: BranchStore, independent: Any, neon: _Neon) -> None:
    project_id = store.project.id
    made = independent.branch_create(project_id, branch={"name": "preview"}, endpoints=[{"type": "read_write"}])
    assert made.branch.current_state == "init"
    assert {operation.action.value for operation in made.operations} == {"create_branch", "start_compute"}
    for operation in made.operations:
        assert neon.ended(operation.id) == "finished"
        assert independent.operation(project_id, operation.id).operation.total_duration_ms >= 0
    assert independent.branch(project_id, made.branch.id).branch.current_state == "ready"
    gone = independent.branch_delete(project_id, made.branch.id)
    assert all(neon.ended(operation.id) == "finished" for operation in gone.operations)
    assert neon.http.delete(f"branches/{made.branch.id}").status_code == 204
    assert len(independent.operations(project_id).operations) >= 4


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": _KEY}])
def test_wrong_key_is_refused(base_url: str, header: dict[str, str]) -> None:
    answer = httpx.get(f"{base_url}projects", headers=header)
    assert answer.status_code == 401
    assert set(answer.json()) == {"code", "message", "request_id"}
    assert _KEY not in answer.text


def test_what_does_not_exist_is_not_found(neon: _Neon, base_url: str) -> None:
    for path in ("branches/br-a-b-c", "endpoints/ep-a-b-c", "operations/x", f"{base_url}projects/other-1", "nothing"):
        status, _ = neon.refused("GET", path)
        assert status == 404
    assert neon.refused("PATCH", "snapshots/snap-a", {"snapshot": {"name": "x"}})[0] == 404
    status, error = neon.refused("POST", "branches", {"branch": {"parent_id": "br-a-b-c"}})
    assert (status, error["message"]) == (404, "branch not found")


def test_second_change_meanwhile_is_refused_and_reading_is_not(neon: _Neon) -> None:
    begun = neon.http.post("branches", json={"branch": {"name": "busy"}, "endpoints": [{"type": "read_write"}]}).json()
    status, error = neon.refused("POST", "branches", {"branch": {"name": "second"}})
    assert status == 423
    assert error["message"] == (
        "project already has running conflicting operations, scheduling of new ones is prohibited"
    )
    assert {branch["name"] for branch in neon.get("branches")["branches"]} == {"main", "staging", "busy"}
    for operation in begun["operations"]:
        assert neon.ended(operation["id"]) == "finished"
    status, error = neon.refused("POST", "branches", {"branch": {"name": "busy"}})
    assert status == 409
    assert "already exists" in error["message"]
    neon.done("DELETE", f"branches/{begun['branch']['id']}")


def test_default_protected_and_parent_branches_stay(neon: _Neon) -> None:
    main = neon.branch("main")["id"]
    status, error = neon.refused("DELETE", f"branches/{main}")
    assert (status, error["message"]) == (422, "cannot delete protected branch")
    restore = {"source_branch_id": main, "source_lsn": "0/1"}
    status, error = neon.refused("POST", f"branches/{main}/restore", restore)
    assert (status, error["message"]) == (422, "cannot reset protected branch")
    neon.done("PATCH", f"branches/{main}", {"branch": {"protected": False}})
    assert neon.refused("DELETE", f"branches/{main}") == (422, _error("cannot delete default branch"))
    status, error = neon.refused("POST", f"branches/{main}/restore", restore)
    assert (status, "preserve_under_name is required" in error["message"]) == (422, True)
    neon.done("PATCH", f"branches/{main}", {"branch": {"protected": True}})
    staging = neon.branch("staging")["id"]
    child = neon.done("POST", "branches", {"branch": {"name": "child", "parent_id": staging}})["branch"]["id"]
    message = f"cannot delete branch that has children: {child}"
    assert neon.refused("DELETE", f"branches/{staging}") == (422, _error(message))
    neon.done("DELETE", f"branches/{child}")


def _error(message: str) -> Json:
    return {"code": "", "message": message, "request_id": "asked-by-a-test"}


def test_restore_keeps_the_former_state_under_the_name_asked_for(neon: _Neon) -> None:
    main = neon.branch("main")
    uri = neon.get("connection_uri", database_name=Seed.database, role_name=Seed.owner, pooled="true")["uri"]
    with psycopg.connect(uri, autocommit=True) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 1 AS id")
        row = owner.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        owner.execute("INSERT INTO kept VALUES (2)")
    assert row is not None
    neon.done("PATCH", f"branches/{main['id']}", {"branch": {"protected": False}})
    body = {"source_branch_id": main["id"], "source_lsn": row[0], "preserve_under_name": "before"}
    resetting = neon.done("POST", f"branches/{main['id']}/restore", body)["branch"]
    assert (resetting["id"], resetting["current_state"]) == (main["id"], "resetting")
    status, error = neon.refused("POST", f"branches/{main['id']}/restore", body)
    assert (status, "already exists" in error["message"]) == (409, True)
    status, error = neon.refused("POST", f"branches/{main['id']}/restore", body | {"preserve_under_name": "again"})
    assert (status, error["code"]) == (422, "ROOT_BRANCHES_LIMIT_EXCEEDED")
    neon.done("PATCH", f"branches/{main['id']}", {"branch": {"protected": True}})
    with psycopg.connect(uri) as owner:
        assert owner.execute("SELECT id FROM kept").fetchall() == [(1,)]
    kept, staging = neon.branch("before"), neon.branch("staging")
    assert "parent_id" not in kept
    assert staging["parent_id"] == kept["id"]
    compute = neon.done("POST", "endpoints", {"endpoint": {"branch_id": kept["id"], "type": "read_write"}})["endpoint"]
    kept_uri = neon.get("connection_uri", database_name=Seed.database, role_name=Seed.owner, branch_id=kept["id"])[
        "uri"
    ]
    assert compute["host"] in kept_uri
    with psycopg.connect(kept_uri) as owner:
        assert owner.execute("SELECT id FROM kept ORDER BY id").fetchall() == [(1,), (2,)]
    neon.done("POST", f"branches/{staging['id']}/restore", {"source_branch_id": main["id"]})
    neon.done("DELETE", f"branches/{kept['id']}")


def test_more_than_the_limits_is_refused_with_their_codes(neon: _Neon) -> None:
    made = [neon.done("POST", "branches")["branch"]["id"] for _ in range(2)]
    status, error = neon.refused("POST", "branches")
    assert (status, error["code"]) == (422, "BRANCHES_LIMIT_EXCEEDED")
    neon.done("PATCH", f"branches/{made[0]}", {"branch": {"protected": True}})
    status, error = neon.refused("PATCH", f"branches/{made[1]}", {"branch": {"protected": True}})
    assert (status, error["code"]) == (422, "BRANCHES_PROTECTED_LIMIT_EXCEEDED")
    neon.done("PATCH", f"branches/{made[0]}", {"branch": {"protected": False}})
    for branch in made:
        neon.done("DELETE", f"branches/{branch}")


def test_what_the_platform_cannot_do_is_refused_clearly(neon: _Neon) -> None:
    for body in (
        {"branch": {"parent_timestamp": "2026-01-01T00:00:00Z"}},
        {"branch": {"init_source": "schema-only"}},
        {"branch": {"parent_lsn": "FF/0"}},
        {"branch": {"expires_at": "2020-01-01T00:00:00Z"}},
        {"endpoints": [{"type": "read_only"}]},
    ):
        assert neon.refused("POST", "branches", body)[0] == 400
    main = neon.branch("main")["id"]
    assert (
        neon.refused("POST", f"branches/{main}/restore", {"source_branch_id": main, "source_timestamp": "x"})[0] == 400
    )
    assert neon.refused("POST", f"branches/{main}/snapshot", timestamp="2026-01-01T00:00:00Z")[0] == 400


def test_branches_are_found_sorted_and_read_page_by_page(neon: _Neon) -> None:
    assert neon.get("branches/count") == {"count": 2}
    assert [branch["name"] for branch in neon.get("branches", search="stag")["branches"]] == ["staging"]
    first = neon.get("branches", sort_by="name", sort_order="asc", limit=1)
    assert [branch["name"] for branch in first["branches"]] == ["main"]
    assert first["pagination"]["sort_by"] == "name"
    rest = neon.get("branches", sort_by="name", sort_order="asc", limit=1, cursor=first["pagination"]["next"])
    assert [branch["name"] for branch in rest["branches"]] == ["staging"]
    assert "pagination" not in rest


def test_branch_is_renamed_and_its_expiry_set_and_cleared(neon: _Neon) -> None:
    created = neon.done("POST", "branches", {"branch": {"name": "a"}, "annotation_value": {"release": "7"}})
    branch = f"branches/{created['branch']['id']}"
    hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    changed = neon.done("PATCH", branch, {"branch": {"name": "b", "expires_at": hour}})["branch"]
    assert (changed["name"], 3500 < changed["ttl_interval_seconds"] <= 3600) == ("b", True)
    assert "expires_at" not in neon.done("PATCH", branch, {"branch": {"expires_at": None}})["branch"]
    assert neon.refused("PATCH", branch, {"branch": {"name": "main"}})[0] == 409
    assert neon.get(branch)["annotation"]["value"] == {"release": "7"}
    neon.done("DELETE", branch)


def test_snapshots_are_made_renamed_and_deleted(neon: _Neon) -> None:
    main, staging = neon.branch("main")["id"], neon.branch("staging")["id"]
    made = neon.done("POST", f"branches/{main}/snapshot", name="release-7")["snapshot"]
    assert (made["name"], made["source_branch_id"]) == ("release-7", main)
    renamed = neon.http.patch(f"snapshots/{made['id']}", json={"snapshot": {"name": "kept"}}).json()["snapshot"]
    assert renamed["name"] == "kept"
    assert [found["id"] for found in neon.get("snapshots")["snapshots"]] == [made["id"]]
    assert neon.refused("POST", f"branches/{staging}/snapshot")[0] == 422
    deleted = neon.http.delete(f"snapshots/{made['id']}")
    assert deleted.status_code == 202
    assert neon.ended(deleted.json()["operations"][0]["id"]) == "finished"
    assert neon.get("snapshots") == {"snapshots": []}


def test_compute_is_suspended_started_and_restarted_on_its_port(neon: _Neon) -> None:
    staging = neon.branch("staging")["id"]
    endpoint = neon.get(f"branches/{staging}/endpoints")["endpoints"][0]
    uri = neon.get("connection_uri", database_name=Seed.database, role_name=Seed.app, endpoint_id=endpoint["id"])["uri"]
    status, error = neon.refused("POST", "endpoints", {"endpoint": {"branch_id": staging, "type": "read_write"}})
    assert (status, "already exists" in error["message"]) == (409, True)
    neon.done("POST", f"endpoints/{endpoint['id']}/suspend")
    assert neon.get(f"endpoints/{endpoint['id']}")["endpoint"]["current_state"] == "idle"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(uri)
    for action in ("start", "restart"):
        neon.done("POST", f"endpoints/{endpoint['id']}/{action}")
        psycopg.connect(uri).close()
    found = neon.done("PATCH", f"endpoints/{endpoint['id']}", {"endpoint": {"suspend_timeout_seconds": 0}})["endpoint"]
    assert (found["current_state"], found["host"]) == ("active", endpoint["host"])


def test_roles_and_databases_are_made_and_passwords_reset(neon: _Neon) -> None:
    staging = f"branches/{neon.branch('staging')['id']}"
    password = neon.done("POST", f"{staging}/roles", {"role": {"name": "reader"}})["role"]["password"]
    assert neon.get(f"{staging}/roles/reader/reveal_password") == {"password": password}
    assert neon.refused("POST", f"{staging}/roles", {"role": {"name": "reader"}})[0] == 409
    made = neon.done("POST", f"{staging}/databases", {"database": {"name": "extra", "owner_name": "reader"}})
    assert made["database"]["owner_name"] == "reader"
    reset = neon.done("POST", f"{staging}/roles/reader/reset_password")["role"]["password"]
    assert reset != password
    branch_id = staging.removeprefix("branches/")
    uri = neon.get("connection_uri", database_name="extra", role_name="reader", branch_id=branch_id)["uri"]
    assert reset in uri
    psycopg.connect(uri).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(uri, password=password)
    neon.done("DELETE", f"{staging}/databases/extra")
    neon.done("DELETE", f"{staging}/roles/reader")
    assert neon.refused("GET", f"{staging}/roles/reader/reveal_password")[0] == 404


def test_project_is_renamed_and_its_history_shortened(neon: _Neon, base_url: str, store: BranchStore) -> None:
    body = {"project": {"name": "another", "history_retention_seconds": 3600}}
    project = neon.done("PATCH", f"{base_url}projects/{store.project.id}", body)["project"]
    assert (project["name"], project["history_retention_seconds"]) == ("another", 3600)


def test_password_is_in_no_answer_but_those_that_are_asked_for_it(neon: _Neon, store: BranchStore) -> None:
    secrets = [role.password for branch in store.project.branches for role in branch.roles if role.password]
    assert secrets
    for path in ("branches", "snapshots", "endpoints", "operations", f"branches/{store.default_branch().id}/roles"):
        assert not [secret for secret in secrets if secret in json.dumps(neon.get(path))]
    assert not [secret for secret in secrets if secret in repr(store.project)]


def test_fault_can_lose_the_answer_after_its_effect(neon: _Neon, base_url: str) -> None:
    fault = {"method": "POST", "path": "/branches$", "when": "after", "cut": True}
    assert httpx.post(httpx.URL(base_url).join("/_local/faults"), json=fault).status_code == 201
    with pytest.raises(httpx.RemoteProtocolError):
        neon.http.post("branches", json={"branch": {"name": "unheard"}})
    branch = neon.branch("unheard")
    for operation in neon.get("operations")["operations"]:
        assert neon.ended(operation["id"]) in {"finished", "failed"}
    neon.done("DELETE", f"branches/{branch['id']}")
