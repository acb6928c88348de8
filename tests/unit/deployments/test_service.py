import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial

import httpx
import pytest
import stamina
from pydantic import BaseModel, SecretStr
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from deployments.answers import trusted_certificates
from deployments.errors import LostReply, ServiceAnswerUnknown, ServiceError, ServiceRefused, ServiceUnreachable
from deployments.service import Service

KEY = "key-4d1f"
Handler = Callable[[httpx.Request], httpx.Response]


class Thing(BaseModel):
    name: str


def service(handler: Handler | None, base_url: str = "http://neon.test/api/v2/") -> Service:
    return Service(
        "Neon",
        base_url,
        SecretStr(KEY),
        url_variable="NEON_API_URL",
        token_variable="NEON_API_KEY",
        safe_to_retry=frozenset({423, 429, 503}),
        calls_a_minute=100,
        transport=httpx.MockTransport(handler) if handler else None,
    )


class Script:
    """Answers in turn; the last one again and again."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


THING = httpx.Response(200, json={"name": "a"})


def test_a_call_carries_the_key_and_goes_below_the_base_address() -> None:
    script = Script(THING)
    assert service(script).read("/things", Thing, {"limit": 3}).name == "a"
    [request] = script.seen
    assert str(request.url) == "http://neon.test/api/v2/things?limit=3"
    assert request.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "first",
    [
        httpx.Response(503),
        httpx.Response(500),
        httpx.Response(524, text="<html>timeout</html>"),
        httpx.Response(429, headers={"Retry-After": "2"}),
        httpx.Response(423),
        httpx.Response(200, text="<html>please wait</html>"),
        httpx.Response(200, text='{"name": "'),
        httpx.ReadTimeout("late"),
        httpx.ConnectError("refused"),
    ],
    ids=str,
)
def test_a_read_is_repeated_while_it_may_go_better(first: httpx.Response | Exception) -> None:
    script = Script(first, THING)
    assert service(script).read("/things", Thing).name == "a"
    assert len(script.seen) == 2


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_read_that_is_refused_for_good_is_not_repeated(status: int) -> None:
    script = Script(httpx.Response(status, json={"code": "C", "message": "no such thing"}))
    with pytest.raises(ServiceRefused, match=rf"Neon: GET /things: answered {status} \(C\): no such thing") as caught:
        service(script).read("/things", Thing)
    assert (len(script.seen), caught.value.transient) == (1, False)


@pytest.mark.parametrize("status", [423, 429, 503])
def test_a_change_is_repeated_where_the_service_promises_that_nothing_happened(status: int) -> None:
    script = Script(httpx.Response(status), httpx.Response(status), THING)
    assert service(script).change("POST", "/things", Thing, {}) == Thing(name="a")
    assert len(script.seen) == 3


@pytest.mark.parametrize("status", [500, 502, 504, 524])
def test_a_change_that_a_gateway_lost_is_not_repeated(status: int) -> None:
    script = Script(httpx.Response(status, text="<html><h1>A timeout occurred</h1></html>"))
    with pytest.raises(LostReply) as caught:
        service(script).change("POST", "/things", Thing, {})
    assert (len(script.seen), caught.value.status, caught.value.transient) == (1, status, True)


@pytest.mark.parametrize("cut", [httpx.ReadError("cut"), httpx.RemoteProtocolError("cut"), httpx.ReadTimeout("late")])
def test_a_change_whose_connection_was_cut_is_not_repeated(cut: Exception) -> None:
    script = Script(cut)
    with pytest.raises(LostReply, match="POST /things: the answer was lost"):
        service(script).change("POST", "/things", Thing, {})
    assert len(script.seen) == 1


def test_a_change_without_an_answers_body_is_one() -> None:
    assert service(Script(httpx.Response(204))).change("DELETE", "/things/1", Thing) is None


@pytest.mark.parametrize("header", ["7", "Mon, 02 Jan 2040 00:00:00 GMT"])
def test_how_long_a_service_asks_to_wait_is_kept(header: str) -> None:
    script = Script(httpx.Response(429, headers={"Retry-After": header}))
    with pytest.raises(ServiceRefused) as caught:
        service(script).change("POST", "/things", Thing, {})
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s >= 7
    assert caught.value.transient


AT = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
CLOCK = {"Date": format_datetime(AT, usegmt=True)}
RESET = int(AT.timestamp()) + 25


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (httpx.Response(429, headers={**CLOCK, "X-RateLimit-Reset": str(RESET)}), 25.0),
        (httpx.Response(429, headers=CLOCK, json={"error": {"code": "rate_limited", "limit": {"reset": RESET}}}), 25.0),
        (httpx.Response(429, headers={**CLOCK, "X-RateLimit-Reset": str(RESET - 60)}), 0.0),
        (httpx.Response(429, headers={**CLOCK, "X-RateLimit-Reset": str(RESET), "Retry-After": "7"}), 7.0),
        (httpx.Response(429, headers=CLOCK, json={"error": {"limit": None}}), None),
        (httpx.Response(429, headers=CLOCK, json=["limit"]), None),
        (httpx.Response(503, headers={**CLOCK, "X-RateLimit-Reset": str(RESET)}), None),
    ],
    ids=["header", "body", "over", "both", "none", "no object", "another refusal"],
)
def test_the_end_of_a_rate_limit_is_how_long_a_service_asks_to_wait(
    answer: httpx.Response, wait_s: float | None
) -> None:
    script = Script(answer)
    with pytest.raises(ServiceRefused) as caught:
        service(script).change("POST", "/things", Thing, {})
    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize("header", ["soon", ""])
def test_a_wait_that_cannot_be_read_is_none(header: str) -> None:
    script = Script(httpx.Response(429, headers={"Retry-After": header}))
    with pytest.raises(ServiceRefused) as caught:
        service(script).change("POST", "/things", Thing, {})
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_names_the_variable_that_holds_it(status: int) -> None:
    script = Script(httpx.Response(status, json={"error": {"code": "forbidden", "message": "Not authorized."}}))
    with pytest.raises(ServiceRefused, match=r"\(forbidden\): Not authorized; check NEON_API_KEY$"):
        service(script).read("/things", Thing)


@pytest.mark.parametrize("body", ["[]", '{"error": "no"}', "<html>Bad <b>gateway</b></html>", ""])
def test_a_refusal_in_any_form_is_told(body: str) -> None:
    with pytest.raises(ServiceRefused, match="answered 400"):
        service(Script(httpx.Response(400, text=body))).read("/things", Thing)


@pytest.mark.parametrize("body", ["<html>hello</html>", '{"name": 3}', "{}"])
def test_an_answer_that_is_not_the_documented_one_is_told_without_it(body: str) -> None:
    with pytest.raises(ServiceAnswerUnknown, match="not what is documented") as caught:
        service(Script(httpx.Response(200, text=body))).read("/things", Thing)
    assert "hello" not in str(caught.value)
    assert caught.value.transient is body.startswith("<")


@pytest.mark.parametrize("body", ["<html>hello</html>", '{"name": "', '{"name": 3}'])
def test_a_change_whose_answer_cannot_be_read_may_have_happened_and_is_not_repeated(body: str) -> None:
    script = Script(httpx.Response(200, text=body))
    with pytest.raises(LostReply, match="POST /things: the answer was lost") as caught:
        service(script).change("POST", "/things", Thing, {})
    assert "hello" not in str(caught.value)
    assert len(script.seen) == 1


def test_an_address_where_nothing_listens_is_told_with_what_to_check() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceUnreachable, match=r"check NEON_API_URL.*pilotage local status") as caught:
        service(None, address).change("POST", "/things", Thing, {})
    assert not isinstance(caught.value, LostReply)


def test_the_key_is_in_no_error_repr_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    for answer in (httpx.Response(401, text="no"), httpx.ReadError("cut"), httpx.Response(200, text="?")):
        neon = service(Script(answer))
        told.append(repr(neon))
        with pytest.raises(ServiceError) as caught:
            neon.change("POST", "/things", Thing, {})
        told += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert KEY not in "".join(told) + caplog.text


class Waits(Exception):
    """Somebody is about to wait."""


def seconds_waited(call: Callable[[], object]) -> float:
    """How long a call would wait after its first answer; it does not."""

    def told(details: RetryDetails) -> None:
        raise Waits(details.wait_for)

    set_on_retry_hooks([told])
    try:
        with stamina.set_testing(False), pytest.raises(Waits) as waiting:
            call()
    finally:
        set_on_retry_hooks(None)
    return float(waiting.value.args[0])


@pytest.mark.parametrize(
    ("header", "waited_s"),
    [("3", 3), ("75", 75), ("76", 75), ("86400", 75), ("inf", 75), ("Fri, 01 Jan 2100 00:00:00 GMT", 75)],
)
def test_a_service_is_waited_for_as_it_asks_and_no_longer_than_is_sensible(header: str, waited_s: float) -> None:
    asked = service(Script(httpx.Response(429, headers={"Retry-After": header})))
    assert seconds_waited(lambda: asked.read("/things", Thing)) == waited_s
    assert seconds_waited(lambda: asked.change("POST", "/things", Thing, {})) == waited_s


def test_a_rate_limit_is_waited_out_to_the_end_of_its_window() -> None:
    limited = service(Script(httpx.Response(429, headers={**CLOCK, "X-RateLimit-Reset": str(RESET + 35)})))
    assert seconds_waited(lambda: limited.read("/things", Thing)) == 60
    assert seconds_waited(lambda: limited.change("POST", "/things", Thing, {})) == 60


@pytest.mark.parametrize("header", ["0", "-5", "nan", "soon", ""])
def test_a_service_that_does_not_say_how_long_is_asked_again_soon(header: str) -> None:
    asked = service(Script(httpx.Response(429, headers={"Retry-After": header})))
    assert 0 <= seconds_waited(lambda: asked.read("/things", Thing)) <= 5


@pytest.mark.parametrize("spoilt", ["key-c4n4ry\n", "key-c4n4ry ", "key\rc4n4ry"])
def test_a_key_that_no_header_takes_is_told_by_its_variable_alone(spoilt: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        asked = Service(
            "Neon",
            address,
            SecretStr(spoilt),
            url_variable="NEON_API_URL",
            token_variable="NEON_API_KEY",
            safe_to_retry=frozenset(),
            calls_a_minute=100,
        )
        with pytest.raises(ServiceError, match="check it") as caught:
            asked.read("/things", Thing)
    assert "NEON_API_KEY" in str(caught.value)
    assert caught.value.__suppress_context__
    assert "c4n4ry" not in str(caught.value)


def test_certificates_are_read_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted_certificates()
    read: list[str] = []
    monkeypatch.setattr(ssl, "create_default_context", partial(read.append, "again"))
    for _ in range(3):
        service(None)
    assert not read
