"""Faults on a real server: before and after the effect, with and without an answer."""

import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException

from deployments.local.hosting.faults import install_faults
from deployments.local.hosting.servers import HttpServer

effects: list[str] = []


def _refuse() -> None:
    raise HTTPException(401)


def _application() -> FastAPI:
    app = FastAPI()

    @app.post("/things")
    def make() -> dict[str, int]:
        effects.append("thing")
        return {"things": len(effects)}

    @app.get("/closed", dependencies=[Depends(_refuse)])
    def closed() -> None: ...

    @app.get("/{anything:path}")
    def catch_all(anything: str) -> str:
        return anything

    install_faults(app)
    return app


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with HttpServer("faulty", _application()) as server:
        yield server.url


@pytest.fixture
def client(server_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server_url) as client:
        client.delete("/_local/faults")
        effects.clear()
        yield client


def _fault(client: httpx.Client, **fault: object) -> None:
    assert client.post("/_local/faults", json=fault).status_code == 201


def test_a_fault_before_the_effect_answers_instead_of_the_service(client: httpx.Client) -> None:
    _fault(client, method="POST", path="^/things$", status=503, body='{"code":""}', headers={"Retry-After": "1"})
    reply = client.post("/things")
    assert (reply.status_code, reply.text, reply.headers["retry-after"]) == (503, '{"code":""}', "1")
    assert effects == []
    assert client.post("/things").json() == {"things": 1}


def test_a_fault_after_the_effect_changes_the_reply_only(client: httpx.Client) -> None:
    _fault(client, path="/things", when="after", status=524, body="<html>", headers={"content-type": "text/html"})
    reply = client.post("/things")
    assert (reply.status_code, reply.text, reply.headers["content-type"]) == (524, "<html>", "text/html")
    assert effects == ["thing"]


@pytest.mark.parametrize(("when", "expected"), [("before", []), ("after", ["thing"])])
def test_a_cut_closes_the_connection_without_an_answer(client: httpx.Client, when: str, expected: list[str]) -> None:
    _fault(client, path="/things", when=when, cut=True)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.post("/things")
    assert effects == expected
    assert client.get("/_local/requests").json() == [{"method": "POST", "path": "/things", "status": None}]


def test_half_of_an_answer_comes_as_if_it_were_the_whole(client: httpx.Client) -> None:
    _fault(client, path="/things", when="after", truncated=True)
    reply = client.post("/things")
    assert (reply.status_code, reply.text) == (200, '{"thin')
    assert effects == ["thing"]


def test_a_fault_happens_as_often_as_asked_and_to_its_calls_only(client: httpx.Client) -> None:
    _fault(client, method="post", path="things", status=500, times=2)
    assert client.get("/other").status_code == 200
    assert client.post("/things").status_code == 500
    assert [fault["times"] for fault in client.get("/_local/faults").json()] == [1]
    assert client.post("/things").status_code == 500
    assert client.post("/things").status_code == 200
    assert client.get("/_local/faults").json() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delay_alone_leaves_the_answer_as_it_is(client: httpx.Client, when: str) -> None:
    _fault(client, path="things", when=when, delay_s=0.2)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/things", timeout=0.05)
    assert client.post("/things").status_code == 200
    while len(client.get("/_local/requests").json()) < 2:
        time.sleep(0.02)  # the delayed one ends too, though nobody waits for its answer
    assert effects == ["thing", "thing"]


def test_faults_can_be_forgotten(client: httpx.Client) -> None:
    _fault(client, path="/other", status=500)
    assert client.delete("/_local/faults").status_code == 204
    assert client.get("/other").json() == "other"


def test_requests_are_listed_with_their_status_and_without_the_control_routes(client: httpx.Client) -> None:
    client.post("/things")
    client.get("/closed")
    assert client.get("/_local/requests").json() == [
        {"method": "POST", "path": "/things", "status": 200},
        {"method": "GET", "path": "/closed", "status": 401},
    ]


@pytest.mark.parametrize(
    "fault", [{"path": "/"}, {"path": "(", "status": 500}, {"path": "/", "status": 500, "x": 1}, {"truncated": True}]
)
def test_a_fault_that_makes_no_sense_is_refused(client: httpx.Client, fault: dict[str, object]) -> None:
    assert client.post("/_local/faults", json=fault).status_code == 422
