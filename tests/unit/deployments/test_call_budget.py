"""Calls are counted a minute at a time, and a wait costs few of them."""

import logging

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from deployments import call_budget
from deployments.call_budget import (
    NEON_A_MINUTE,
    VERCEL_A_MINUTE,
    CallCounter,
    CallCounts,
    GrowingPauses,
    counted,
    counter_of,
)
from deployments.service import Service

NEON_LIMIT, VERCEL_LIMIT = 700, 500


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_busiest_minute_is_told_wherever_it_begins() -> None:
    clock = Clock()
    counter = CallCounter("Neon", 5, clock)
    for at in (0, 50, 55, 58, 61, 120, 200):
        clock.now = 1000.0 + at
        counter.count()
    assert counter.counts == CallCounts(calls=7, most_a_minute=4, budget=5)
    assert counter.counts.within_budget


def test_a_call_a_whole_minute_later_is_in_another_minute() -> None:
    clock = Clock()
    counter = CallCounter("Neon", 1, clock)
    counter.count()
    clock.now += 60
    counter.count()
    assert counter.counts.most_a_minute == 1


def test_going_over_the_budget_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    counter = CallCounter("Vercel", 2, Clock())
    for _ in range(6):
        counter.count()
    assert caplog.messages == ["Vercel was called more than 2 times within a minute"]
    assert counter.counts == CallCounts(6, 6, 2)
    assert not counter.counts.within_budget


def test_each_try_of_a_read_and_a_change_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_budget, "_counters", {})
    answers = [httpx.Response(503), httpx.Response(200, json={"name": "a"}), httpx.Response(201, json={"name": "b"})]
    service = Service(
        "Counted",
        "http://counted.test",
        SecretStr("key"),
        url_variable="URL",
        token_variable="KEY",
        safe_to_retry=frozenset(),
        calls_a_minute=9,
        transport=httpx.MockTransport(lambda _: answers.pop(0)),
    )

    class Thing(BaseModel):
        name: str

    service.read("/things", Thing)
    service.change("POST", "/things", Thing)
    assert counted() == {"Counted": CallCounts(calls=3, most_a_minute=3, budget=9)}


def test_services_are_counted_apart_and_each_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_budget, "_counters", {})
    counter_of("Neon", 5).count()
    counter_of("Neon", 7).count()
    counter_of("Vercel", 3).count()
    assert {name: (one.calls, one.budget) for name, one in counted().items()} == {"Neon": (2, 5), "Vercel": (1, 3)}


def test_budgets_are_below_a_third_of_what_is_documented() -> None:
    assert NEON_LIMIT / 3 > NEON_A_MINUTE
    assert VERCEL_LIMIT / 3 > VERCEL_A_MINUTE


@pytest.mark.parametrize(
    ("first_s", "longest_s", "budget"),
    [(0.2, 2.0, NEON_A_MINUTE), (0.3, 1.0, VERCEL_A_MINUTE), (0.3, 3.0, VERCEL_A_MINUTE)],
)
def test_a_minute_of_waiting_costs_less_than_half_of_the_budget_and_an_end_is_noticed_soon(
    first_s: float, longest_s: float, budget: int
) -> None:
    slept: list[float] = []
    pauses = GrowingPauses(first_s, longest_s, slept.append)
    while sum(slept) < 60:
        waited = sum(slept)
        pauses.wait()
        assert slept[-1] <= min(longest_s, first_s + waited / 4 + 1e-9)
    assert len(slept) < budget / 2
    assert slept[0] == first_s
    assert slept[-1] == longest_s
