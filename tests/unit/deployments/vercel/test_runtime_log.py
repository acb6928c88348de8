import json
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from pydantic import SecretStr

from deployments.service import Service
from deployments.vercel.runtime_log import RequestCounts, count_requests


def line(row: str, status: int, path: str = "/api/agents") -> str:
    entry = {"rowId": row, "requestMethod": "GET", "requestPath": path, "responseStatusCode": status, "level": "info"}
    return json.dumps(entry) + "\n"


class Log:
    """A log that is opened several times: what it sends each time, and then maybe how it breaks."""

    def __init__(self, stop: threading.Event, *openings: Sequence[str | Exception]) -> None:
        self.stop = stop
        self.openings = list(openings)
        self.opened = 0

    @contextmanager
    def open(self) -> Generator[httpx.Response]:
        self.opened += 1
        yield httpx.Response(200, content=self.lines(self.openings.pop(0)))

    def lines(self, sent: Sequence[str | Exception]) -> Iterator[bytes]:
        for one in sent:
            if isinstance(one, Exception):
                raise one
            yield one.encode()
        if not self.openings:
            self.stop.set()


def count(*openings: Sequence[str | Exception]) -> tuple[RequestCounts | None, int]:
    stop = threading.Event()
    log = Log(stop, *openings)
    return count_requests(log.open, seconds=30, stop=stop), log.opened


def test_requests_and_server_errors_are_counted() -> None:
    counted, _ = count([line("1", 200), "\n", line("2", 500, "/api/users"), line("3", 404), line("4", 503)])
    assert counted == RequestCounts(4, 2, ("GET /api/users 500", "GET /api/agents 503"))


def test_a_row_counts_once_and_a_line_without_a_status_not_at_all() -> None:
    counted, _ = count([line("1", 200), line("1", 200), line("2", 0), '{"rowId": "3", "message": "hello"}\n'])
    assert counted == RequestCounts(1, 0, ())


NULLS = json.dumps(dict.fromkeys(("rowId", "requestMethod", "requestPath", "responseStatusCode"))) + "\n"


@pytest.mark.parametrize("odd", [NULLS, "{}\n", '{"rowId": 7, "responseStatusCode": null}\n'])
def test_lines_whose_fields_are_null_end_nothing(odd: str) -> None:
    counted, opened = count([*[odd] * 5, line("1", 200), *[odd] * 5, line("2", 500)])
    assert (counted, opened) == (RequestCounts(2, 1, ("GET /api/agents 500",)), 1)


@pytest.mark.parametrize("torn", ['{"rowId": "1", "resp\n', "[]\n", '{"rowId": {}, "responseStatusCode": "many"}\n'])
def test_a_line_that_cannot_be_read_is_left_out_alone(torn: str) -> None:
    counted, opened = count([torn, line("1", 200), line("2", 500)])
    assert (counted, opened) == (RequestCounts(2, 1, ("GET /api/agents 500",)), 1)


def test_nothing_is_told_from_a_log_that_can_hardly_be_read() -> None:
    assert count(["<html>\n", "<body>\n", line("1", 200)])[0] is None


def test_an_answer_without_path_or_row_is_counted_and_named() -> None:
    counted, _ = count(['{"responseStatusCode": 502}\n', '{"responseStatusCode": 200}\n'])
    assert counted == RequestCounts(2, 1, ("? ? 502",))


def test_a_log_that_ends_before_its_time_is_opened_again() -> None:
    counted, opened = count([line("1", 200)], [line("2", 500)])
    assert (counted, opened) == (RequestCounts(2, 1, ("GET /api/agents 500",)), 2)


@pytest.mark.parametrize("broken", [httpx.ReadError("cut"), "<html>\n"])
def test_a_log_that_breaks_is_opened_again(broken: str | Exception) -> None:
    counted, opened = count([line("1", 200), broken], [line("2", 200)])
    assert (counted, opened) == (RequestCounts(2, 0, ()), 2)


def test_nothing_is_told_from_a_log_that_breaks_again_and_again() -> None:
    counted, opened = count(*([[line("1", 200), httpx.ReadError("cut")]] * 9))
    assert (counted, opened) == (None, 4)


def test_nothing_is_told_from_a_log_that_ends_at_once_again_and_again() -> None:
    counted, opened = count(*([[line("1", 200)]] * 9))
    assert (counted, opened) == (None, 4)


def test_only_the_first_failures_are_named() -> None:
    counted, _ = count([line(str(row), 500) for row in range(9)])
    assert counted is not None
    assert (counted.errors, len(counted.failures)) == (9, 5)


def test_nothing_is_told_from_a_log_that_is_refused() -> None:
    @contextmanager
    def refused() -> Generator[httpx.Response]:
        yield httpx.Response(404)

    assert count_requests(refused, seconds=30, stop=threading.Event()) is None


@pytest.fixture
def silent_log() -> Iterator[Service]:
    """A service whose log sends one line, and then neither a word nor its end."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(line("1", 200).encode())
            over.wait(60)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Service(
            "Vercel",
            f"http://127.0.0.1:{server.server_port}",
            SecretStr("token"),
            url_variable="VERCEL_API_URL",
            token_variable="VERCEL_TOKEN",
            safe_to_retry=frozenset(),
            calls_a_minute=100,
        )
        over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("ended_by", ["time", "stop"])
def test_a_log_that_is_silent_for_ever_is_left_when_it_is_time(ended_by: str, silent_log: Service) -> None:
    stop = threading.Event()
    seconds = 0.3 if ended_by == "time" else 600

    @contextmanager
    def opened() -> Generator[httpx.Response]:
        with silent_log.stream("/log", timeout_s=60) as answer:
            if ended_by == "stop":
                threading.Timer(0.1, stop.set).start()
            yield answer

    assert count_requests(opened, seconds=seconds, stop=stop) == RequestCounts(1, 0, ())
    assert stop.is_set() is (ended_by == "stop")
