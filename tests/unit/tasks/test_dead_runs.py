"""Dead runs: when their recovery is started, and what is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deployments.ledger import Release
from tasks import production_state
from tasks.production_state import ProductionState
from tasks.steps import dead_runs
from tasks.steps.dead_runs import PAUSES, DeadRun, NextTry, finding, next_try

AT = datetime(2026, 11, 28, 3, 4, 5, tzinfo=UTC)
RELEASE = Release("r1", "shop", "v2", "c" * 40, "r2", "ana", None, "host:1:x", "running", AT, AT, None, "")
DEAD = DeadRun(RELEASE, "in `promote`", ())


def tried(count: int, fence: int = 2) -> DeadRun:
    """A run whose recovery was started so often, the last time at `AT`."""
    return replace(
        DEAD, release=replace(RELEASE, fence=fence), tries=tuple([AT - timedelta(days=1)] * (count - 1) + [AT])
    )


def test_a_recovery_is_started_at_once() -> None:
    assert next_try(DEAD, under_way=False, now=AT) is NextTry.START


def test_nothing_is_started_while_a_recovery_is_under_way() -> None:
    assert next_try(DEAD, under_way=True, now=AT) is NextTry.UNDER_WAY
    assert next_try(tried(len(PAUSES)), under_way=True, now=AT) is NextTry.UNDER_WAY


@pytest.mark.parametrize("count", range(1, len(PAUSES)))
def test_a_recovery_that_failed_is_started_again_after_a_pause_that_grows(count: int) -> None:
    pause = PAUSES[count]
    assert pause > PAUSES[count - 1]
    assert next_try(tried(count), under_way=False, now=AT + pause - timedelta(seconds=1)) is NextTry.PAUSE
    assert next_try(tried(count), under_way=False, now=AT + pause) is NextTry.START


def test_after_the_last_try_none_is_started() -> None:
    assert next_try(tried(len(PAUSES)), under_way=False, now=AT + timedelta(days=9)) is NextTry.NONE_LEFT


def test_the_death_is_told_once_a_release_with_where_it_died() -> None:
    for what in NextTry.START, NextTry.UNDER_WAY:
        told = finding(DEAD, what)
        assert told is not None
        assert (told.fact, told.headline) == ("died r1", "Release of v2: its process died")
        assert told.facts == {"Release": "r1", "Its process died": "in `promote`"}
        assert told.text == f"Now {what.value}."


def test_a_death_of_which_a_recovery_told_is_not_told_again() -> None:
    assert finding(tried(1), NextTry.UNDER_WAY) is None


def test_a_run_that_said_itself_that_it_stops_is_not_told_dead() -> None:
    assert finding(replace(DEAD, told=True), NextTry.START) is None


def test_a_recovery_that_failed_is_told_with_when_it_is_tried_again() -> None:
    told = finding(tried(2), NextTry.PAUSE)
    assert told is not None
    assert (told.fact, told.text) == ("recovery failed r1", "It is started again at 03:06:05 UTC.")
    assert told.facts["Tries"] == "10 within 8 hours, the pauses grow"
    announced = finding(replace(DEAD, release=replace(RELEASE, fence=2)), NextTry.START)
    assert announced is not None
    assert (announced.fact, announced.text) == ("recovery failed r1", "It is started again now.")


def test_after_the_last_try_a_person_is_told_what_stands_and_what_leads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stands = ProductionState("dpl_2", ("r2",), maintenance=True, protected=True)
    monkeypatch.setattr(production_state, "read", lambda: stands)
    told = finding(tried(len(PAUSES)), NextTry.NONE_LEFT)
    assert told is not None
    assert told.fact == "recovery given up r1"
    assert told.headline == "Release of v2: recovery failed 10 times, a person is needed"
    assert told.facts["What stands"] == stands.description
    assert "`pilotage recover r1`" in told.next_step


def test_a_recovery_that_could_not_be_started_is_told_with_the_command() -> None:
    told = finding(DEAD, NextTry.START, OSError("connection refused"))
    assert told is not None
    assert told.fact == "recovery not started r1"
    assert told.facts["Why"] == "connection refused"
    assert "`pilotage recover r1`" in told.next_step


def test_a_rollback_and_a_row_of_the_watchdog_are_told_apart() -> None:
    rollback = replace(DEAD, release=replace(RELEASE, requested_by="rollback of r0: by hand"))
    assert rollback.name == "Rollback of v2"
    assert not rollback.is_ours
    assert replace(DEAD, release=replace(RELEASE, requested_by=f"{dead_runs.WATCHDOG}protection")).is_ours
