import httpx
import pytest
from pydantic import SecretStr

from deployments.application.defences import REQUESTS, encrypts_copies, limits_rate, validates_input

URL = "https://app.example.com"


class Application:
    """An application that answers as it is told, and keeps what it was asked."""

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None) -> None:
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return httpx.Response(status, headers=self.headers)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)


def away(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route")


@pytest.mark.parametrize("name", ["RateLimit", "ratelimit-policy", "X-RateLimit-Limit", "RateLimit-Remaining"])
def test_a_limit_that_is_named_holds_after_one_request(name: str) -> None:
    application = Application(200, headers={name: "100"})
    seen = limits_rate(URL, bypass=None, transport=application.transport)
    assert (seen.holds, len(application.asked)) == (True, 1)
    assert name.lower() in seen.detail


def test_a_limit_that_is_met_holds() -> None:
    application = Application(200, 200, 429)
    seen = limits_rate(URL, bypass=None, transport=application.transport)
    assert (seen.holds, seen.detail) == (True, "request 3 in a row was answered 429")


def test_a_limit_that_is_not_met_cannot_be_told_and_only_reads_were_sent() -> None:
    application = Application(200, headers={"X-Response-Time": "3ms"})
    seen = limits_rate(URL, bypass=None, transport=application.transport)
    assert seen.holds is None
    assert {request.method for request in application.asked} == {"GET"}
    assert len(application.asked) == REQUESTS


def test_malformed_writes_that_are_refused_hold() -> None:
    application = Application(400, 422, 400)
    seen = validates_input(URL, bypass=SecretStr("open"), transport=application.transport)
    assert seen.holds is True
    assert [request.content for request in application.asked] == [b"{", b"[]", b"{}"]
    assert {request.headers["x-vercel-protection-bypass"] for request in application.asked} == {"open"}


@pytest.mark.parametrize("status", [200, 201, 500])
def test_a_malformed_write_that_goes_through_or_fails_inside_is_broken(status: int) -> None:
    seen = validates_input(URL, bypass=None, transport=Application(400, status, 400).transport)
    assert seen.holds is False
    assert f"a list was answered {status}" in seen.detail


@pytest.mark.parametrize("status", [307, 401, 403, 404, 429, 503])
def test_a_write_that_is_turned_away_at_the_door_cannot_be_told(status: int) -> None:
    seen = validates_input(URL, bypass=None, transport=Application(status).transport)
    assert seen.holds is None
    assert str(status) in seen.detail


def test_an_application_that_does_not_answer_cannot_be_told() -> None:
    transport = httpx.MockTransport(away)
    for seen in (
        limits_rate(URL, bypass=None, transport=transport),
        validates_input(URL, bypass=None, transport=transport),
    ):
        assert (seen.holds, seen.detail) == (None, f"{URL} did not answer (ConnectError)")


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("http://127.0.0.1:4001/api/v2", False),
        ("http://[::1]:1/api/v2", False),
        ("https://console.neon.tech/api/v2", None),
        (None, None),
    ],
)
def test_copies_are_plain_on_the_local_platform_and_neon_s_cannot_be_told(url: str | None, holds: bool | None) -> None:
    assert encrypts_copies(url).holds is holds
