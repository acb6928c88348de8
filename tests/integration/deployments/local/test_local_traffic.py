"""Traffic against a small application with real HTTP: what is counted, what is written down, when it ends."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from deployments.local.errors import TrafficError
from deployments.local.hosting.faults import install_faults
from deployments.local.hosting.servers import HttpServer
from deployments.local.traffic.figures import percentile, read_acknowledged
from deployments.local.traffic.run import run_traffic


class _Application:
    """Just enough of the released application, in memory."""

    def __init__(self) -> None:
        self.agents: list[object] = []
        self.users: set[str] = set()
        self.conversations: dict[str, list[str]] = {}
        self.app = FastAPI()
        self.app.get("/api/agents")(self.list_agents)
        self.app.post("/api/agents", status_code=201)(self.add_agent)
        self.app.post("/api/users")(self.add_user)
        self.app.get("/api/conversations")(self.list_conversations)
        self.app.post("/api/conversations", status_code=201)(self.add_conversation)
        self.app.get("/api/conversations/{conversation}/messages")(self.list_messages)
        self.app.post("/api/conversations/{conversation}/messages", status_code=201)(self.add_message)
        install_faults(self.app)

    async def list_agents(self) -> list[object]:
        return self.agents

    async def add_agent(self, request: Request) -> None:
        self.agents.append(await request.json())

    async def add_user(self, request: Request) -> None:
        self.users.add((await request.json())["email"])

    async def list_conversations(self, limit: int) -> list[str]:
        return list(self.conversations)[:limit]

    async def add_conversation(self, request: Request) -> dict[str, str]:
        assert (await request.json())["userEmail"] in self.users
        identity = f"conversation-{len(self.conversations)}"
        self.conversations[identity] = []
        return {"id": identity}

    async def list_messages(self, conversation: str) -> list[str]:
        return self.conversations[conversation]

    async def add_message(self, conversation: str) -> dict[str, str]:
        messages = self.conversations[conversation]
        messages.append(f"{conversation}-{len(messages)}")
        return {"id": messages[-1]}


@pytest.fixture
def application() -> _Application:
    return _Application()


@pytest.fixture
def url(application: _Application) -> Iterator[str]:
    with HttpServer("application", application.app) as server:
        yield server.url


def test_users_read_and_write_at_the_rate_and_every_acknowledged_write_is_noted(
    application: _Application, url: str, tmp_path: Path
) -> None:
    noted = tmp_path / "state" / "acknowledged"
    report = run_traffic(url, users=10, rate=100, seconds=2, acknowledged=noted)
    assert (report.errors, report.refused, report.failures) == (0, 0, ())
    assert report.requests + report.unsent == 200
    assert len(application.users - {"keeper@example.com"}) == report.users == 10
    assert len(application.agents) == 3
    assert 0 < report.p50_ms <= report.p95_ms <= report.p99_ms
    writes = read_acknowledged(noted)
    assert len(writes) == report.acknowledged
    assert [write.at for write in writes] == sorted(write.at for write in writes)
    messages = {message for listed in application.conversations.values() for message in listed}
    assert {write.id for write in writes} == messages
    assert len(messages) > 20


def test_failures_and_refusals_are_counted_apart_and_nothing_is_tried_twice(url: str, tmp_path: Path) -> None:
    run_traffic(url, users=1, rate=10, seconds=0.1, acknowledged=tmp_path / "acknowledged")
    httpx.delete(f"{url}/_local/faults")
    for fault in (
        {"method": "GET", "path": "/conversations$", "status": 500, "body": "broken", "times": 3},
        {"method": "GET", "path": "/conversations$", "cut": True, "times": 2},
        {"method": "POST", "path": "/users", "status": 503, "headers": {"Retry-After": "5"}, "times": 4},
    ):
        httpx.post(f"{url}/_local/faults", json=fault)
    report = run_traffic(url, users=4, rate=100, seconds=1, acknowledged=tmp_path / "acknowledged")
    assert (report.errors, report.refused) == (5, 4)
    assert sum("GET /api/conversations?limit=20: 500 broken" in failure for failure in report.failures) == 3
    assert sum("RemoteProtocolError" in failure for failure in report.failures) == 2
    seen = httpx.get(f"{url}/_local/requests").json()
    looked_for_agents = 1
    assert len(seen) == report.requests + looked_for_agents


def test_a_user_begins_again_when_a_restore_took_its_conversation(
    application: _Application, url: str, tmp_path: Path
) -> None:
    httpx.post(f"{url}/_local/faults", json={"method": "POST", "path": "/messages$", "status": 404})
    report = run_traffic(url, users=1, rate=100, seconds=1, acknowledged=tmp_path / "acknowledged")
    assert report.errors == 1
    assert len(application.conversations) >= 2


def test_it_can_be_stopped_and_tells_how_it_goes(url: str, tmp_path: Path) -> None:
    stop = threading.Event()
    seen: list[int] = []

    def on_progress(report: object) -> None:
        seen.append(1)
        stop.set()

    run_traffic(url, users=2, rate=20, seconds=3600, acknowledged=tmp_path / "a", on_progress=on_progress, stop=stop)
    assert seen


def test_nobody_to_talk_to_is_a_clear_error(tmp_path: Path) -> None:
    with (
        HttpServer("empty", FastAPI()) as server,
        pytest.raises(TrafficError, match=r"/api/agents answered 404; is a release live"),
    ):
        run_traffic(server.url, users=1, rate=1, seconds=1, acknowledged=tmp_path / "a")
    with pytest.raises(TrafficError, match="no traffic on http"):
        run_traffic(server.url, users=1, rate=1, seconds=1, acknowledged=tmp_path / "a")


def test_a_percentile_is_the_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([7.0], 95) == 7
    assert percentile([], 95) == 0
