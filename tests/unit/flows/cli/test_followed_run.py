"""What a terminal says of a run that did not complete."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Crashed, Failed

from flows.cli.console.flow_runs import (
    _followed_run,  # pyright: ignore[reportPrivateUsage]
    failure_reason,
    recovery_since,
)

KILLED = "Process exited with status code: -9."


def told(state: State, deployment: str) -> str:
    followed = _followed_run(FlowRun(flow_id=uuid4(), state=state), [])
    assert followed.succeeded == state.is_completed()
    return failure_reason(followed, deployment)


@pytest.mark.parametrize("deployment", ["release/release", "rollback/rollback"])
@pytest.mark.parametrize("state", [Crashed(message=KILLED), Cancelled(message=KILLED)], ids=["killed", "cancelled"])
def test_a_release_that_was_cut_off_names_the_command_that_closes_it(state: State, deployment: str) -> None:
    said = told(state, deployment)
    assert KILLED.rstrip(".") in said
    assert "`pilotage recover` says what stands and finishes it, forward or back" in said
    assert "`pilotage ledger`" in said


def test_a_release_that_was_cut_off_ends_with_what_the_recovery_made_of_it() -> None:
    cut_off = _followed_run(FlowRun(flow_id=uuid4(), state=Crashed(message=KILLED)), [])
    recovered = _followed_run(FlowRun(flow_id=uuid4(), state=Completed(message="rolled back: as it was")), [])
    said = failure_reason(cut_off, "release/release", recovered)
    assert said.endswith("; the recovery has followed: rolled back: as it was")
    assert "pilotage recover" not in said
    assert "`pilotage recover`" in failure_reason(cut_off, "release/release", cut_off)


def test_the_recovery_of_a_run_is_the_first_that_was_started_after_it_had_ended() -> None:
    at = datetime(2026, 11, 28, 3, 4, 5, tzinfo=UTC)
    runs = [
        FlowRun(flow_id=uuid4(), created=at + timedelta(seconds=seconds))  # pyright: ignore[reportArgumentType]
        for seconds in (9, -1, 2)
    ]
    assert recovery_since(runs, at) is runs[2]
    assert recovery_since(runs[1:2], at) is None


def test_what_changes_nothing_is_run_again() -> None:
    assert told(Crashed(message=KILLED), "drift-check/drift-check").endswith("run it again")
    assert "no reason was given" in told(Crashed(message=""), "drift-check/drift-check")


def test_a_run_that_ended_by_itself_says_what_it_says() -> None:
    assert told(Failed(message="rolled back: latency"), "release/release") == "rolled back: latency"
    assert told(Completed(message="done"), "release/release") == "done"


def test_a_run_whose_release_was_finished_by_a_recovery_says_how_that_ended() -> None:
    recovered = Crashed(name="Recovered", message="its process died, and the recovery has finished it: rolled back")
    assert told(recovered, "release/release") == recovered.message
