import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from deployments.application.address_watch import Observation, watch

Serve = Callable[[Callable[[Any], tuple[int, str]]], str]


def test_every_path_is_read_in_turn_at_the_rate_asked_for(serve: Serve) -> None:
    asked: list[str] = []

    def answer(request: Any) -> tuple[int, str]:
        asked.append(request.path)
        return 200, "[]"

    seen = watch(serve(answer), seconds=0.3, rate=100)
    assert (seen.requests, seen.errors, seen.failures) == (30, 0, ())
    assert {path: asked.count(path) for path in asked} == {
        "/api/health": 10,
        "/api/agents": 10,
        "/api/conversations?limit=10": 10,
    }
    assert seen.p95_ms is not None
    assert 0 < seen.p95_ms <= max(seen.latencies_ms)


def test_server_errors_are_counted_and_named_and_refusals_are_answers(serve: Serve) -> None:
    def answer(request: Any) -> tuple[int, str]:
        return {"/broken": 500, "/forbidden": 403}.get(request.path, 200), ""

    seen = watch(serve(answer), seconds=0.12, rate=100, paths=("/fine", "/broken", "/forbidden"))
    assert (seen.requests, seen.errors) == (12, 4)
    assert seen.failures == ("GET /broken answered 500",) * 4


def test_an_address_where_nothing_listens_is_all_errors() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    seen = watch(url, seconds=0.1, rate=100)
    assert (seen.requests, seen.errors, seen.p95_ms) == (10, 10, None)
    assert seen.failures[0] == "GET /api/health: ConnectError"
    assert len(seen.failures) == 5


def test_a_watch_that_is_told_to_stop_makes_no_more_requests(serve: Serve) -> None:
    stop = threading.Event()

    def answer(_: Any) -> tuple[int, str]:
        stop.set()
        return 200, ""

    assert watch(serve(answer), seconds=600, rate=10, stop=stop).requests < 5


def test_an_address_that_hangs_does_not_hold_the_watch_and_what_waited_counts_as_errors(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.application.address_watch.TIMEOUT_S", 0.2)
    monkeypatch.setattr("deployments.application.address_watch.GRACE_S", 0.0)
    over = threading.Event()
    asked: list[str] = []

    def answer(request: Any) -> tuple[int, str]:
        asked.append(request.path)
        over.wait(30)
        return 200, ""

    url = serve(answer)
    seen = watch(url, seconds=0.3, rate=100)
    over.set()
    assert (seen.requests, seen.errors, seen.latencies_ms) == (30, 30, ())
    assert len(asked) < 30
    assert "GET /api/health: ReadTimeout" in seen.failures


def test_latency_counts_from_when_a_request_was_due(serve: Serve) -> None:
    def answer(request: Any) -> tuple[int, str]:
        time.sleep(0.2)
        return 200, ""

    seen = watch(serve(answer), seconds=0.5, rate=100)
    # Eight at a time are answered, each after 200 ms: those due later waited for them.
    assert max(seen.latencies_ms) > 400


@pytest.mark.parametrize(("count", "p95"), [(19, None), (20, 19.95), (100, 95.95)])
def test_the_percentile_needs_enough_to_tell_it_from(count: int, p95: float | None) -> None:
    assert Observation(tuple(float(n) for n in range(1, count + 1))).p95_ms == p95


def test_observations_add_up() -> None:
    both = Observation((1.0,), 1, ("a",) * 4).plus(Observation((2.0, 3.0), 2, ("b",) * 4))
    assert (both.requests, both.errors, both.failures) == (6, 3, ("a", "a", "a", "a", "b"))
