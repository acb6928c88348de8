"""Real servers that mean ill: every answer is read within a time and up to a size."""

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from deployments import service, slack
from deployments.answers import MIB, AnswerTooLarge, BoundedClient, lines
from deployments.application import address_watch, defences, endpoints
from deployments.errors import LostReply
from deployments.service import Service
from deployments.vercel.runtime_log import count_requests

Sent = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ZEROS = b"\0" * 2**20


class Anything(BaseModel):
    """Any object."""


@contextmanager
def hostile(send: Sent) -> Generator[str]:
    """A server that answers each request in its own way, on connections that it keeps."""
    ending = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while not ending.is_set() and b"\r\n\r\n" in connection.recv(65_536):
                send(connection)

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=accept, args=(listening,), daemon=True)
        accepting.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ending.set()
        # Also whoever still reads is let go.
        for one in (listening, *connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
    for thread in (accepting, *threads):
        thread.join()


def dripping(head: bytes, drop: bytes) -> Sent:
    """A byte now and then, for as long as anybody reads: for ever."""

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return send


@cache
def bomb(encoding: str) -> bytes:
    """Zeros, folded to a thousandth of 64 MiB."""
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    return b"".join(packer.compress(ZEROS) for _ in range(64)) + packer.flush()


def folded(encoding: str) -> Sent:
    def send(connection: socket.socket) -> None:
        plain(bomb(encoding), f"Content-Encoding: {encoding}\r\n".encode())(connection)

    return send


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(ZEROS)


def plain(body: bytes, headers: bytes = b"") -> Sent:
    def send(connection: socket.socket) -> None:
        connection.sendall(HEAD + headers + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    return send


SLOW = {
    "a body": dripping(HEAD + b"\r\n", b" "),
    "headers": dripping(HEAD, b"x-a: b\r\n"),
    "a folded body": dripping(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"a")[:10], b"\0\0\0\xff\xff"),
    "a chunked body": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "preliminary answers": dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}
LARGE = {"gzip": folded("gzip"), "deflate": folded("deflate"), "no end": endless}


def request(url: str, *, seconds: float = 60, most_bytes: int = MIB) -> httpx.Response:
    with httpx.Client(base_url=url, timeout=5) as client:
        return BoundedClient(client, most_bytes=most_bytes).request("GET", "/", seconds=seconds)


@pytest.mark.parametrize("what", [*SLOW])
def test_an_answer_that_comes_byte_by_byte_is_given_up(what: str) -> None:
    with hostile(SLOW[what]) as url, pytest.raises(httpx.ReadTimeout, match=r"no whole answer within 0\.5 s"):
        request(url, seconds=0.5)


def test_a_connection_that_is_used_again_is_given_up_too() -> None:
    answers = [SLOW["headers"], plain(b"{}")]

    def send(connection: socket.socket) -> None:
        answers.pop()(connection)

    with hostile(send) as url, httpx.Client(base_url=url, timeout=5) as client:
        bounded = BoundedClient(client, most_bytes=MIB)
        assert bounded.request("GET", "/", seconds=5).json() == {}
        with pytest.raises(httpx.ReadTimeout):
            bounded.request("GET", "/", seconds=0.5)


@pytest.mark.parametrize("what", [*LARGE])
def test_an_answer_that_unfolds_without_end_is_given_up_and_takes_no_room(what: str) -> None:
    bomb(what)
    tracemalloc.start()
    try:
        with hostile(LARGE[what]) as url, pytest.raises(AnswerTooLarge, match="larger than 1 MiB"):
            request(url)
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip"])
def test_an_answer_in_an_encoding_that_was_not_asked_for_is_not_unfolded(encoding: bytes) -> None:
    with hostile(plain(b"{}", b"Content-Encoding: " + encoding + b"\r\n")) as url, pytest.raises(httpx.DecodingError):
        request(url)


def test_an_answer_that_is_not_what_its_encoding_says_is_told() -> None:
    with hostile(plain(b"{}", b"Content-Encoding: gzip\r\n")) as url, pytest.raises(httpx.DecodingError):
        request(url)


@pytest.mark.parametrize("size", [0, 1, MIB])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_an_answer_up_to_the_size_is_whole(size: int, encoding: str) -> None:
    body = b"a" * size
    sent = plain(gzip.compress(body), b"Content-Encoding: gzip\r\n") if encoding else plain(body)
    with hostile(sent) as url:
        got = request(url)
    assert (got.status_code, got.content) == (200, body)
    assert got.headers["content-type"] == "application/json"


def test_lines_are_bounded_one_by_one_and_all_together() -> None:
    with hostile(endless) as url, httpx.Client(base_url=url) as client:
        bounded = BoundedClient(client, most_bytes=MIB)
        for longest, most, said in ((2 * MIB, 512 * MIB, "a line of"), (512 * MIB, 2 * MIB, "larger than")):
            with bounded.stream("GET", "/", seconds=60) as answer, pytest.raises(AnswerTooLarge, match=said):
                list(lines(answer, longest=longest, most_bytes=most))


def test_lines_come_as_they_were_sent() -> None:
    with hostile(plain(b"one\ntwo\n\nthree")) as url, httpx.Client(base_url=url) as client:
        bounded = BoundedClient(client, most_bytes=MIB)
        with bounded.stream("GET", "/", seconds=60) as answer:
            assert list(lines(answer, longest=9, most_bytes=99)) == ["one", "two", "", "three"]


HOSTILE = {**SLOW, **LARGE}


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (endpoints, defences, address_watch):
        monkeypatch.setattr(module, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(service, "ANSWER_S", 0.5)


@pytest.mark.usefixtures("in_a_hurry")
@pytest.mark.parametrize("what", [*HOSTILE])
def test_a_released_application_cannot_hold_who_looks_at_it(what: str) -> None:
    with hostile(HOSTILE[what]) as url:
        assert endpoints.health(url, bypass=None).status == "no answer"
        assert not any(probe.ok for probe in endpoints.probe_reads(url, bypass=None, commit_sha=None))
        assert not any(probe.ok for probe in endpoints.smoke(url, bypass=None, commit_sha="a" * 40))
        assert defences.limits_rate(url, bypass=None).holds is None
        assert defences.validates_input(url, bypass=None).holds is None


@pytest.mark.usefixtures("in_a_hurry")
@pytest.mark.parametrize("what", [*HOSTILE])
def test_a_released_application_cannot_hold_the_watch(what: str) -> None:
    with hostile(HOSTILE[what]) as url:
        seen = address_watch.watch(url, seconds=1, rate=8)
    assert (seen.requests, seen.errors) == (8, 8)


@pytest.mark.usefixtures("in_a_hurry")
@pytest.mark.parametrize("what", ["a body", "headers"])
def test_a_service_cannot_hold_a_call(what: str) -> None:
    with hostile(HOSTILE[what]) as url:
        with pytest.raises(LostReply, match="the answer was lost"):
            a_service(url).read("/", Anything)
        with pytest.raises(LostReply, match="the answer was lost"):
            a_service(url).change("POST", "/", Anything, {})


def test_a_service_cannot_fill_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_BYTES", MIB)
    with hostile(LARGE["gzip"]) as url, pytest.raises(LostReply, match="AnswerTooLarge"):
        a_service(url).change("POST", "/", Anything, {})


@pytest.mark.parametrize("what", ["headers", "a body", "gzip", "no end"])
def test_a_log_cannot_hold_or_fill_who_counts_its_requests(what: str) -> None:
    stop = threading.Event()
    with hostile(HOSTILE[what]) as url:
        one = a_service(url)
        counted = count_requests(lambda: one.stream("/log", timeout_s=1), seconds=1, stop=stop)
    assert counted is None or counted.requests == 0


@pytest.mark.parametrize("what", ["headers", "a body"])
def test_slack_cannot_hold_who_tells_it(
    what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(slack, "DEADLINE_S", 0.5)
    with hostile(HOSTILE[what]) as url:
        assert slack.Slack(SecretStr(f"{url}/services/hook")).post("done") is False
        assert caplog.messages == ["Slack was not told (TimeoutError): done"]


def a_service(url: str) -> Service:
    return Service(
        "Neon",
        url,
        SecretStr("k"),
        url_variable="URL",
        token_variable="KEY",
        safe_to_retry=frozenset(),
        calls_a_minute=100,
        patience_s=1,
    )
