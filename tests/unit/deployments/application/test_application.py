import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from deployments.application.endpoints import health, probe_reads, smoke

Serve = Callable[[Callable[[Any], tuple[int, str]]], str]
SHA = "c" * 40
BYPASS = SecretStr("bypass-5d5d")


class Application:
    """An application that keeps what it is told; some of its answers can be spoiled."""

    def __init__(self) -> None:
        self.spoiled: dict[tuple[str, str], tuple[int, str]] = {}
        self.asked: list[Any] = []
        self.messages: list[dict[str, str]] = []

    def __call__(self, asked: Any) -> tuple[int, str]:
        self.asked.append(asked)
        if asked.headers.get("x-vercel-protection-bypass") != BYPASS.get_secret_value():
            return 401, "protected"
        spoiled = self.spoiled.get((asked.method, asked.path))
        if spoiled is not None:
            return spoiled
        answers: dict[tuple[str, str], object] = {
            ("GET", "/api/health"): {"status": "healthy", "database": "connected"},
            ("GET", "/api/version"): {"commit": SHA, "version": "2"},
            ("GET", "/api/agents"): [],
            ("GET", "/api/conversations?limit=10"): [],
            ("POST", "/api/users"): {"id": "u1"},
            ("POST", "/api/agents"): {"id": "a1"},
            ("POST", "/api/conversations"): {"id": "c1"},
            ("GET", "/api/conversations/c1/messages"): self.messages,
        }
        if (asked.method, asked.path) == ("POST", "/api/conversations/c1/messages"):
            self.messages.append({"id": "m1", "content": json.loads(asked.body)["content"]})
            return 201, json.dumps({"id": "m1"})
        return 200, json.dumps(answers[asked.method, asked.path])

    def paths(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]


@pytest.fixture
def application() -> Application:
    return Application()


READS = ["GET /api/health", "GET /api/version", "GET /api/agents", "GET /api/conversations?limit=10"]
WRITES = [
    "POST /api/users",
    "POST /api/agents",
    "POST /api/conversations",
    "POST /api/conversations/c1/messages",
    "GET /api/conversations/c1/messages",
]


def test_reads_write_nothing(serve: Serve, application: Application) -> None:
    probes = probe_reads(serve(application), bypass=BYPASS, commit_sha=SHA)
    assert all(probe.ok for probe in probes)
    assert application.paths() == READS


def test_a_smoke_test_reads_back_what_it_wrote(serve: Serve, application: Application) -> None:
    probes = smoke(serve(application), bypass=BYPASS, commit_sha=SHA)
    assert [(probe.ok, probe.detail) for probe in probes] == [(True, "")] * 9
    assert application.paths() == READS + WRITES


def test_two_smoke_tests_do_not_meet(serve: Serve, application: Application) -> None:
    url = serve(application)
    for _ in range(2):
        application.messages.clear()
        smoke(url, bypass=BYPASS, commit_sha=SHA)
    users = [json.loads(asked.body)["email"] for asked in application.asked if asked.path == "/api/users"]
    assert len(set(users)) == 2


@pytest.mark.parametrize(
    ("call", "answer", "detail"),
    [
        (("GET", "/api/health"), (503, '{"status": "unhealthy"}'), "answered 503: "),
        (("GET", "/api/health"), (200, '{"status": "unhealthy"}'), "status is 'unhealthy', not 'healthy'"),
        (("GET", "/api/version"), (200, '{"commit": "other"}'), "commit is 'other', not "),
        (("GET", "/api/agents"), (200, '{"no": "list"}'), "the answer is not a list"),
        (("GET", "/api/agents"), (200, "<html>"), "Expecting value"),
        (("POST", "/api/conversations"), (500, "column does not exist"), "answered 500: column does not exist"),
        (("POST", "/api/users"), (201, "{}"), "the answer is not as it must be: id: Field required"),
        (("GET", "/api/conversations/c1/messages"), (200, "[]"), "the message that was written is None"),
    ],
)
def test_what_fails_is_the_last_probe(
    serve: Serve, application: Application, call: tuple[str, str], answer: tuple[int, str], detail: str
) -> None:
    application.spoiled[call] = answer
    *before, last = smoke(serve(application), bypass=BYPASS, commit_sha=SHA)
    assert all(probe.ok for probe in before)
    assert ((last.method, last.path), last.ok) == (call, False)
    assert detail in last.detail


def test_a_deployment_that_is_protected_is_told(serve: Serve, application: Application) -> None:
    [probe] = probe_reads(serve(application), bypass=None, commit_sha=None)
    assert (probe.ok, probe.detail) == (False, "answered 401: protected")


def dead() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_dead_address_is_told_and_raises_nothing() -> None:
    found = health(dead(), bypass=None)
    assert (found.healthy, found.status, found.latency_ms) == (False, "no answer", None)
    assert "ConnectError" in found.detail
    [probe] = smoke(dead(), bypass=BYPASS, commit_sha=SHA)
    assert "ConnectError" in probe.detail
    assert "bypass-5d5d" not in probe.detail


def test_health_tells_the_commit_that_serves(serve: Serve, application: Application) -> None:
    found = health(serve(application), bypass=BYPASS)
    assert (found.healthy, found.status, found.commit_sha, found.detail) == (True, "healthy", SHA, "")
    assert found.latency_ms is not None


@pytest.mark.parametrize(
    ("answer", "status", "maintenance", "detail"),
    [
        ((200, '{"status": "healthy", "maintenance": true}'), "healthy", True, ""),
        ((503, '{"status": "unhealthy"}'), "unhealthy", False, "answered 503"),
        ((503, '{"status": "healthy"}'), "unhealthy", False, "answered 503"),
        ((502, "<html>Bad gateway</html>"), "no answer", False, "answered 502 without a health report"),
    ],
)
def test_health_is_what_the_application_tells(
    serve: Serve, application: Application, answer: tuple[int, str], status: str, maintenance: bool, detail: str
) -> None:
    application.spoiled["GET", "/api/health"] = answer
    found = health(serve(application), bypass=BYPASS)
    assert (found.status, found.healthy, found.maintenance) == (status, status == "healthy", maintenance)
    assert detail in found.detail


def test_health_without_a_commit_is_health(serve: Serve, application: Application) -> None:
    application.spoiled["GET", "/api/version"] = (404, "not found")
    found = health(serve(application), bypass=BYPASS)
    assert (found.healthy, found.commit_sha) == (True, None)
