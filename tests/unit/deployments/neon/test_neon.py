import json
import logging
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from deployments.errors import (
    BranchNameTaken,
    BranchNotFound,
    LostReply,
    OperationFailed,
    ServiceRefused,
    WrongBranch,
)
from deployments.neon.client import NeonClient

Json = dict[str, Any]
AT = "/api/v2/projects/p"
MAIN = "br-main"


class Neon:
    """Neon as far as the client knows it: its changes end after one look, its replies can be lost."""

    def __init__(self) -> None:
        self.branches: list[Json] = []
        self.operations: list[Json] = []
        self.hosts: dict[str, str] = {}
        self.snapshots: list[Json] = []
        self.posts: list[tuple[str, str]] = []
        self.lose: list[str] = []
        self.busy = 0
        self.page = 100
        self.ends_as = "finished"
        self.uri = "postgresql://o:pw@ep-a.eu.neon.tech/db?sslmode=require"
        self.change: Callable[[str, str, httpx.Request], httpx.Response] = self.change_by_the_rules
        self.add("main", id=MAIN, default=True)

    def client(self, deadline_s: float = 5) -> NeonClient:
        transport = httpx.MockTransport(self.answer)
        return NeonClient(
            "http://neon.test/api/v2", SecretStr("k"), "p", transport=transport, poll_s=0, deadline_s=deadline_s
        )

    def add(self, name: str, **given: Any) -> Json:
        branch: Json = {
            "id": f"br-{name}",
            "name": name,
            "current_state": "ready",
            "created_at": "2025-01-01T00:00:00Z",
            **given,
        }
        self.branches.append(branch)
        return branch

    def operate(self, branch_id: str | None, status: str = "running", **given: Any) -> Json:
        operation: Json = {
            "id": f"op-{len(self.operations)}",
            "action": "create_timeline",
            "status": status,
            "branch_id": branch_id,
            **given,
        }
        self.operations.insert(0, operation)
        return operation

    def answer(self, request: httpx.Request) -> httpx.Response:
        method, path = request.method, request.url.path.removeprefix(AT)
        if method == "GET":
            return self.read(path, request.url.params)
        self.posts.append((method, path))
        if self.busy:
            self.busy -= 1
            return httpx.Response(423, json={"code": "", "message": "project already has running operations"})
        lost = self.lose.pop(0) if self.lose else ""
        if lost == "before":
            raise httpx.ReadError("cut")
        reply = self.change(method, path, request)
        if lost == "after":
            raise httpx.ReadError("cut")
        if lost == "gateway":
            return httpx.Response(524, text="<html>A timeout occurred</html>")
        return reply

    def read(self, path: str, asked: httpx.QueryParams) -> httpx.Response:
        if path == "/operations":
            shown = json.dumps({"operations": self.operations})
            self.end_operations()
            return httpx.Response(200, text=shown)
        if path.startswith("/operations/"):
            self.end_operations()
            return self.found("operation", self.operations, path)
        if path == "/branches":
            start = int(asked.get("cursor", "0"))
            page = self.branches[start : start + self.page]
            following = start + self.page
            cursor = {"next": str(following)} if following < len(self.branches) else {}
            return httpx.Response(200, json={"branches": page, "pagination": cursor})
        if path.endswith("/endpoints"):
            branch_id = path.split("/")[2]
            host = self.hosts.get(branch_id)
            shown_endpoints = [{"id": "ep-a", "host": host, "branch_id": branch_id, "type": "read_write"}]
            return httpx.Response(200, json={"endpoints": shown_endpoints if host else []})
        if path == "/snapshots":
            return httpx.Response(200, json={"snapshots": self.snapshots})
        if path == "/connection_uri":
            return httpx.Response(200, json={"uri": self.uri})
        return self.found("branch", self.branches, path)

    def found(self, kind: str, among: list[Json], path: str) -> httpx.Response:
        for one in among:
            if one["id"] == path.split("/")[2]:
                return httpx.Response(200, json={kind: one})
        return httpx.Response(404, json={"code": "", "message": f"{kind} not found"})

    def end_operations(self) -> None:
        for operation in self.operations:
            if operation["status"] == "running":
                operation["status"] = self.ends_as

    def change_by_the_rules(self, method: str, path: str, request: httpx.Request) -> httpx.Response:
        body: Json = json.loads(request.content) if request.content else {}
        if (method, path) == ("POST", "/branches"):
            wanted = body["branch"]
            if wanted["name"] in {one["name"] for one in self.branches}:
                return httpx.Response(409, json={"code": "", "message": "branch already exists"})
            branch = self.add(**wanted)
            return self.accepted(201, branch)
        if path == "/endpoints":
            self.hosts[body["endpoint"]["branch_id"]] = "ep-a.eu.neon.tech"
            return self.accepted(201, None)
        branch_id = path.split("/")[2]
        if path.startswith("/endpoints/"):
            self.hosts.clear()
            return self.accepted(200, None)
        if path.startswith("/snapshots/"):
            self.snapshots = [one for one in self.snapshots if one["id"] != branch_id]
            return httpx.Response(202, json={"operations": []})
        [branch] = [one for one in self.branches if one["id"] == branch_id] or [None]
        if branch is None:
            return httpx.Response(204)
        if path.endswith("/snapshot"):
            name = request.url.params["name"]
            self.snapshots.append({"id": f"snap-{name}", "name": name, "created_at": "2025-01-01T00:00:00Z"})
        elif path.endswith("/restore"):
            return self.restore(branch, body)
        elif method == "DELETE":
            self.branches.remove(branch)
        else:
            branch.update(body["branch"])
        return self.accepted(200, branch)

    def restore(self, branch: Json, body: Json) -> httpx.Response:
        kept = body.get("preserve_under_name")
        if kept in {one["name"] for one in self.branches}:
            return httpx.Response(409, json={"code": "", "message": f"branch {kept} already exists"})
        branch["last_reset_at"] = f"2025-02-{len(self.posts):02}T00:00:00Z"
        if kept:
            self.add(kept, created_at=branch["last_reset_at"])
        if body["source_branch_id"] != branch["id"]:
            branch["parent_id"] = body["source_branch_id"]
        return self.accepted(200, branch)

    def accepted(self, status: int, branch: Json | None) -> httpx.Response:
        operation = self.operate(branch["id"] if branch else None)
        return httpx.Response(status, json={"operations": [operation], **({"branch": branch} if branch else {})})


@pytest.fixture
def neon() -> Neon:
    return Neon()


# --- create


def test_a_new_branch_is_awaited_and_is_the_one_asked_for(neon: Neon) -> None:
    branch = neon.client().create_branch("release-1", parent_id=MAIN, parent_lsn="0/1A")
    assert (branch.name, branch.parent_id, branch.parent_lsn) == ("release-1", MAIN, "0/1A")
    assert neon.operations[0]["status"] == "finished"


@pytest.mark.parametrize("lost", ["after", "gateway"])
def test_a_branch_whose_reply_was_lost_is_found_and_not_made_twice(neon: Neon, lost: str) -> None:
    neon.lose = [lost]
    assert neon.client().create_branch("release-1", parent_id=MAIN).id == "br-release-1"
    assert neon.posts == [("POST", "/branches")]


def test_a_branch_that_a_lost_call_did_not_make_is_asked_for_again(neon: Neon) -> None:
    neon.lose = ["before", "before"]
    assert neon.client().create_branch("release-1", parent_id=MAIN).id == "br-release-1"
    assert len(neon.branches) == 2


def test_a_service_that_loses_every_reply_is_given_up(neon: Neon) -> None:
    neon.lose = ["before"] * 10
    with pytest.raises(LostReply):
        neon.client().create_branch("release-1", parent_id=MAIN)
    assert len(neon.posts) == 4


def test_a_branch_of_our_own_that_exists_already_is_taken(neon: Neon) -> None:
    neon.add("release-1", parent_id=MAIN)
    assert neon.client().create_branch("release-1", parent_id=MAIN).id == "br-release-1"
    assert len(neon.branches) == 2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"parent_id": "br-staging"}, "its parent is br-staging, not br-main"),
        ({"parent_id": MAIN, "parent_lsn": "0/FF"}, "it begins at 0/FF, not 0/1A"),
    ],
)
def test_a_foreign_branch_of_the_name_is_refused(neon: Neon, given: Json, why: str) -> None:
    neon.add("release-1", **given)
    with pytest.raises(BranchNameTaken, match=why):
        neon.client().create_branch("release-1", parent_id=MAIN, parent_lsn="0/1A")


def test_a_branch_that_never_became_ready_is_refused(neon: Neon) -> None:
    neon.add("release-1", parent_id=MAIN, current_state="init")
    with pytest.raises(OperationFailed, match=r"release-1 .* is init"):
        neon.client().create_branch("release-1", parent_id=MAIN)


def answering(neon: Neon, change: Callable[[str, str, httpx.Request], httpx.Response]) -> NeonClient:
    neon.change = change
    return neon.client()


def test_an_answer_with_another_branch_than_the_one_of_the_name_is_refused(neon: Neon) -> None:
    neon.add("release-1", parent_id=MAIN)
    client = answering(neon, lambda _m, _p, _r: neon.accepted(201, neon.branches[0]))
    with pytest.raises(WrongBranch, match="answered with branch br-main for release-1"):
        client.create_branch("release-1", parent_id=MAIN)


def test_the_default_branch_handed_out_as_a_new_one_is_refused(neon: Neon) -> None:
    client = answering(neon, lambda _m, _p, _r: neon.accepted(201, neon.branches[0]))
    with pytest.raises(WrongBranch, match="its parent or the default branch"):
        client.create_branch("main", parent_id="br-other")


def test_a_limit_of_the_plan_is_told_as_neon_says_it(neon: Neon) -> None:
    refusal = {"code": "BRANCHES_LIMIT_EXCEEDED", "message": "branches limit exceeded"}
    client = answering(neon, lambda _m, _p, _r: httpx.Response(422, json=refusal))
    with pytest.raises(ServiceRefused, match=r"\(BRANCHES_LIMIT_EXCEEDED\)"):
        client.create_branch("release-1", parent_id=MAIN)


# --- operations


def test_a_change_whose_operation_fails_is_told(neon: Neon) -> None:
    neon.ends_as = "failed"
    with pytest.raises(OperationFailed, match="create_timeline of branch br-release-1 ended as failed"):
        neon.client().create_branch("release-1", parent_id=MAIN)


@pytest.mark.parametrize("branch_id", [MAIN, "br-other"])
def test_an_operation_that_failed_before_is_not_ours(neon: Neon, branch_id: str) -> None:
    neon.operate(branch_id, "failed", error="disk full")
    neon.lose = ["after"]
    neon.client().set_protected(MAIN, protected=True)
    neon.client().restore(MAIN, source_branch_id="br-other")


def test_an_operation_of_another_branch_that_fails_meanwhile_is_not_ours(neon: Neon) -> None:
    client, change = neon.client(), neon.change

    def with_a_stranger(method: str, path: str, request: httpx.Request) -> httpx.Response:
        neon.operate("br-stranger", "failed")
        return change(method, path, request)

    neon.change = with_a_stranger
    neon.lose = ["after"]
    client.restore(MAIN, source_branch_id=MAIN, source_lsn="0/1A", preserve_under_name="kept")


@pytest.mark.parametrize("lost", [[], ["after"]])
def test_a_restore_that_is_told_failed_and_took_effect_is_recognised_by_what_stands(
    neon: Neon, lost: list[str]
) -> None:
    neon.lose, neon.ends_as = lost, "failed"
    restored = neon.client().restore(MAIN, source_branch_id=MAIN, source_lsn="0/1A", preserve_under_name="kept")
    assert restored.last_reset_at is not None
    assert len(neon.posts) == 1


@pytest.mark.parametrize("lost", [[], ["after"]])
def test_a_reset_that_is_told_failed_and_took_effect_is_recognised_by_its_time(neon: Neon, lost: list[str]) -> None:
    neon.add("staging", parent_id=MAIN)
    neon.lose, neon.ends_as = lost, "failed"
    assert neon.client().restore("br-staging", source_branch_id=MAIN).last_reset_at is not None


@pytest.mark.parametrize("keeps", [False, True], ids=["nothing", "a branch of the name, made by nobody"])
def test_a_restore_that_truly_failed_is_told(neon: Neon, keeps: bool) -> None:
    def without_effect(_method: str, _path: str, _request: httpx.Request) -> httpx.Response:
        if keeps:
            neon.add("kept")
        return neon.accepted(200, neon.branches[0])

    neon.change, neon.ends_as = without_effect, "failed"
    with pytest.raises(OperationFailed, match="br-main ended as failed"):
        neon.client().restore(MAIN, source_branch_id=MAIN, source_lsn="0/1A", preserve_under_name="kept")


def test_a_restore_done_before_is_known_by_the_branch_that_it_left(neon: Neon) -> None:
    client = neon.client()
    assert client.kept_by_restore(MAIN, "kept") is None
    client.restore(MAIN, source_branch_id=MAIN, source_lsn="0/1A", preserve_under_name="kept")
    asked = len(neon.posts)
    assert client.kept_by_restore(MAIN, "kept") == client.branch("kept")
    assert len(neon.posts) == asked
    neon.add("by-hand", parent_id=MAIN)
    with pytest.raises(BranchNameTaken, match="it was branched off main"):
        client.kept_by_restore(MAIN, "by-hand")


def test_a_project_that_is_busy_is_waited_for(neon: Neon) -> None:
    neon.busy = 2
    neon.client().create_branch("release-1", parent_id=MAIN)
    assert len(neon.posts) == 3
    assert len(neon.branches) == 2


@pytest.mark.parametrize("lost", [[], ["after"]])
def test_an_operation_that_does_not_end_is_given_up(neon: Neon, lost: list[str]) -> None:
    neon.ends_as, neon.lose = "running", lost
    with pytest.raises(OperationFailed, match="still running after"):
        neon.client(deadline_s=0.05).create_branch("release-1", parent_id=MAIN)


# --- restore


def test_a_restore_keeps_the_branch_and_its_state_of_before(neon: Neon) -> None:
    restored = neon.client().restore(MAIN, source_branch_id=MAIN, source_lsn="0/1A", preserve_under_name="kept")
    assert (restored.id, restored.name) == (MAIN, "main")
    assert neon.client().branch("kept").id == "br-kept"


@pytest.mark.parametrize("lost", ["after", "gateway"])
def test_a_restore_whose_reply_was_lost_is_found_by_what_it_kept(neon: Neon, lost: str) -> None:
    neon.lose = [lost]
    neon.client().restore(MAIN, source_branch_id=MAIN, source_lsn="0/1A", preserve_under_name="kept")
    assert len(neon.posts) == 1


def test_a_restore_that_was_done_before_is_not_done_again(neon: Neon) -> None:
    for _ in range(2):
        neon.client().restore(MAIN, source_branch_id=MAIN, source_lsn="0/1A", preserve_under_name="kept")
    assert [one["name"] for one in neon.branches] == ["main", "kept"]


def test_a_reset_whose_reply_was_lost_is_seen_by_its_time(neon: Neon) -> None:
    neon.add("staging", parent_id=MAIN)
    neon.lose = ["after"]
    neon.client().restore("br-staging", source_branch_id=MAIN)
    assert len(neon.posts) == 1


def test_a_reset_that_a_lost_call_did_not_do_is_asked_for_again(neon: Neon) -> None:
    neon.add("staging", parent_id=MAIN, last_reset_at="2025-01-05T00:00:00Z")
    neon.lose = ["before"]
    neon.client().restore("br-staging", source_branch_id=MAIN)
    assert len(neon.posts) == 2


@pytest.mark.parametrize(
    ("kept", "restored", "source", "why"),
    [
        ({"parent_id": MAIN}, {}, MAIN, "it was branched off main"),
        ({"parent_id": "br-other"}, {}, MAIN, "does not descend from it, nor are both roots"),
        ({}, {"parent_id": "br-other"}, MAIN, "does not descend from it, nor are both roots"),
        ({}, {"parent_id": "br-kept"}, MAIN, "main was restored from it since"),
        ({}, {}, "br-other", "main was not restored from br-other since"),
        (
            {"created_at": "2025-03-01T00:00:00Z"},
            {"last_reset_at": "2025-02-01T00:00:00Z"},
            MAIN,
            "main was not restored since it was made",
        ),
    ],
)
def test_a_branch_of_the_kept_name_that_no_restore_made_is_refused(
    neon: Neon, kept: Json, restored: Json, source: str, why: str
) -> None:
    neon.branches[0].update(restored)
    neon.add("kept", **kept)
    with pytest.raises(BranchNameTaken, match=why):
        neon.client().restore(MAIN, source_branch_id=source, source_lsn="0/1A", preserve_under_name="kept")


# --- the other changes


@pytest.mark.parametrize("lost", ["before", "after"])
def test_protection_is_set_whatever_reply_is_lost(neon: Neon, lost: str) -> None:
    neon.lose = [lost]
    assert neon.client().set_protected(MAIN, protected=True).protected
    assert neon.client().set_protected(MAIN, protected=True).protected
    assert len(neon.posts) == (1 if lost == "after" else 2)


def test_protection_that_neon_accepts_and_does_not_set_is_told(neon: Neon) -> None:
    client = answering(neon, lambda _m, _p, _r: httpx.Response(200, json={"operations": []}))
    with pytest.raises(OperationFailed, match="is not protected, though Neon was asked"):
        client.set_protected(MAIN, protected=True)


@pytest.mark.parametrize("lost", ["", "before", "after"])
def test_a_branch_is_deleted_once(neon: Neon, lost: str) -> None:
    neon.add("old")
    neon.lose = [lost]
    neon.client().delete_branch("br-old")
    neon.client().delete_branch("br-old")
    assert [one["id"] for one in neon.branches] == [MAIN]


def test_a_branch_that_must_not_be_deleted_is_told(neon: Neon) -> None:
    refusal = {"code": "", "message": "cannot delete protected branch"}
    client = answering(neon, lambda _m, _p, _r: httpx.Response(422, json=refusal))
    with pytest.raises(ServiceRefused, match="cannot delete protected branch"):
        client.delete_branch(MAIN)


@pytest.mark.parametrize("lost", ["", "after"])
def test_a_snapshot_is_taken_once(neon: Neon, lost: str) -> None:
    neon.lose = [lost]
    for _ in range(2):
        assert neon.client().create_snapshot(MAIN, "weekly").id == "snap-weekly"
    assert len(neon.snapshots) == 1
    neon.client().delete_snapshot("snap-weekly")
    assert neon.snapshots == []


@pytest.mark.parametrize("lost", [[], ["after", "after"]])
def test_a_compute_is_given_and_deleted(neon: Neon, lost: list[str]) -> None:
    neon.lose = lost
    assert neon.client().give_compute(MAIN)
    assert MAIN in neon.hosts
    neon.client().delete_computes(MAIN)
    assert neon.hosts == {}
    assert neon.posts == [("POST", "/endpoints"), ("DELETE", "/endpoints/ep-a")]


def test_a_compute_that_was_there_before_is_not_another_one(neon: Neon) -> None:
    neon.hosts[MAIN] = "ep-a.eu.neon.tech"
    assert not neon.client().give_compute(MAIN)
    assert MAIN in neon.hosts
    assert neon.posts == []


# --- reads


def test_branches_of_all_pages_are_found(neon: Neon) -> None:
    neon.page = 2
    for number in range(4):
        neon.add(f"b{number}")
    assert [branch.name for branch in neon.client().branches()] == ["main", "b0", "b1", "b2", "b3"]


def test_a_branch_that_is_not_there_is_told_with_those_that_are(neon: Neon) -> None:
    neon.add("staging")
    with pytest.raises(BranchNotFound, match="Neon project p has no branch stagin; it has: main, staging"):
        neon.client().branch("stagin")


def connect(neon: Neon, uri: str, host: str) -> str:
    neon.uri, neon.hosts[MAIN] = uri, host
    client = neon.client()
    return client.connection_uri(MAIN, database="db", role="o", pooled=False).get_secret_value()


@pytest.mark.parametrize("label", ["ep-a", "ep-a-pooler"])
def test_a_connection_string_leads_to_the_branch_directly_or_through_its_pooler(neon: Neon, label: str) -> None:
    uri = f"postgresql://o:pw@{label}.eu.neon.tech/db?sslmode=require&channel_binding=require"
    assert connect(neon, uri, "ep-a.eu.neon.tech") == uri


@pytest.mark.parametrize("host", ["ep-b.eu.neon.tech", "ep-a.eu.neon.tech.evil.test", "127.0.0.1:5433"])
def test_a_connection_string_to_another_host_is_refused_without_its_password(neon: Neon, host: str) -> None:
    with pytest.raises(WrongBranch, match=rf"handed out {re.escape(host)} for branch br-main") as caught:
        connect(neon, f"postgresql://o:pw-88aa@{host}/db", "ep-a.eu.neon.tech")
    assert "pw-88aa" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "forced"),
    [
        ("", "?sslmode=require"),
        ("?sslmode=disable", "?sslmode=require"),
        ("?sslmode=prefer&application_name=x", "?sslmode=require&application_name=x"),
        ("?sslmode=verify-full", "?sslmode=verify-full"),
        ("?options=-c%20search_path%3Dapp", "?options=-c%20search_path%3Dapp&sslmode=require"),
    ],
)
def test_a_connection_over_a_network_is_encrypted(neon: Neon, query: str, forced: str) -> None:
    address = "postgresql://o:pw@ep-a.eu.neon.tech/db"
    assert connect(neon, address + query, "ep-a.eu.neon.tech") == address + forced


@pytest.mark.parametrize("host", ["127.0.0.1:5433", "localhost:5433"])
def test_a_connection_on_the_loopback_interface_stays_as_it_is(neon: Neon, host: str) -> None:
    uri = f"postgresql://o:pw@{host}/db?sslmode=disable"
    assert connect(neon, uri, host) == uri


def test_no_password_is_logged(neon: Neon, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    connect(neon, "postgresql://o:pw-88aa@ep-a.eu.neon.tech/db", "ep-a.eu.neon.tech")  # pragma: allowlist secret
    assert "pw-88aa" not in caplog.text
