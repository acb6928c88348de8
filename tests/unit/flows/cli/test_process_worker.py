"""The worker takes of a schedule's runs that are due the newest one alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.workers.process import ProcessWorker

from flows.cli.console.process_worker import PatientWorker, overtaken

WATCHDOG, RELEASE, QUEUE = uuid4(), uuid4(), uuid4()
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def run(deployment: UUID, minute: int, *, by_schedule: bool = True) -> FlowRun:
    """A run that is due at a minute after noon."""
    return FlowRun.model_validate(
        {
            "flow_id": uuid4(),
            "deployment_id": deployment,
            "auto_scheduled": by_schedule,
            "next_scheduled_start_time": NOON + timedelta(minutes=minute),
            "state": State(type=StateType.SCHEDULED),
        }
    )


def test_of_each_schedule_only_the_newest_run_that_is_due_is_not_overtaken() -> None:
    other = uuid4()
    late = [run(WATCHDOG, minute) for minute in (2, 0, 1)]
    newest, alone = run(WATCHDOG, 3), run(other, 0)
    assert {one.id for one in overtaken([newest, *late, alone], ())} == {one.id for one in late}
    assert overtaken([newest, alone], ()) == []


def test_run_that_somebody_asked_for_and_one_that_is_being_started_are_never_overtaken() -> None:
    by_hand = [run(RELEASE, minute, by_schedule=False) for minute in (0, 1)]
    starting, newest = run(WATCHDOG, 0), run(WATCHDOG, 1)
    assert overtaken([*by_hand, starting, newest], {starting.id}) == []


@pytest.mark.parametrize("refuses", [False, True])
def test_worker_skips_what_was_overtaken_and_takes_the_rest(monkeypatch: pytest.MonkeyPatch, refuses: bool) -> None:
    late, newest, asked = run(WATCHDOG, 0), run(WATCHDOG, 1), run(RELEASE, 0, by_schedule=False)
    told: list[tuple[UUID, str]] = []

    async def due(_: ProcessWorker) -> list[WorkerFlowRunResponse]:
        return [
            WorkerFlowRunResponse(work_pool_id=QUEUE, work_queue_id=QUEUE, flow_run=one)
            for one in (late, newest, asked)
        ]

    async def set_state(run_id: UUID, state: State[Any], *, force: bool) -> None:
        assert force
        if refuses:
            raise ConnectionError("the server is away")
        told.append((run_id, str(state.name)))

    # The method of Prefect's that the worker's own takes the place of.
    monkeypatch.setattr(ProcessWorker, "_get_scheduled_flow_runs", due, raising=True)
    worker = PatientWorker("a pool")
    monkeypatch.setattr(worker, "_client", SimpleNamespace(set_flow_run_state=set_state))
    taken = asyncio.run(worker._get_scheduled_flow_runs())  # pyright: ignore[reportPrivateUsage]
    assert [one.flow_run.id for one in taken] == [newest.id, asked.id]
    assert told == ([] if refuses else [(late.id, "Skipped")])
