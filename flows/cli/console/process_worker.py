"""A worker that stops its runs before it stops: Prefect's own kills them at once, in the middle of an act.

Source: prefect/utilities/processutils (`run_process`): where the worker is cancelled, anyio kills the run's process.
"""

import asyncio
import os
import signal
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

# A run ends by itself within half a minute (`tasks/process/termination.py`).
GRACE_S = 30.0
_NEVER = datetime.min.replace(tzinfo=UTC)


class PatientWorker(ProcessWorker):
    """Runs flows as Prefect's process worker does; told to stop, it tells them to, and waits until they have ended."""

    # Of its own: the type of the pool stays `process`.
    __dispatch_key__ = "pilotage process"  # pyright: ignore[reportAssignmentType]

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: "anyio.abc.TaskStatus[int] | None" = None,
    ) -> ProcessWorkerResult:
        """Run a flow in a process of its own."""
        process = _RunningProcess(task_status)
        results: list[ProcessWorkerResult] = []
        async with anyio.create_task_group() as group:
            group.start_soon(process.stop_when_cancelled)
            with anyio.CancelScope(shield=True):
                try:
                    results.append(await super().run(flow_run, configuration, process))
                finally:
                    process.ended.set()
        return results[0]

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """The runs that are due: of a schedule the newest one alone.

        After hours without a worker each minute of them has a run of the watchdog: all at once they would take the
        machine, and each would look at the same thing.
        """
        due = await super()._get_scheduled_flow_runs()
        late = overtaken([one.flow_run for one in due], self._submitting_flow_run_ids)
        for run in late:
            try:
                await self.client.set_flow_run_state(run.id, _OVERTAKEN, force=True)
            except Exception as error:
                # It comes again with the next look.
                self._logger.warning("run %s, which a later one has overtaken, could not be skipped: %s", run.id, error)
        skipped = {run.id for run in late}
        return [one for one in due if one.flow_run.id not in skipped]


_OVERTAKEN = State[Any](
    type=StateType.CANCELLED,
    name="Skipped",
    message="no worker took it in time, and a later one is due",
)


def overtaken(due: Iterable[FlowRun], submitted: Collection[UUID]) -> list[FlowRun]:
    """The runs of a schedule that are due, but for the newest one of each deployment.

    Args:
        due: what is due, in any order.
        submitted: ids of runs that are being started already.
    """
    newest: dict[UUID | None, FlowRun] = {}
    late: list[FlowRun] = []
    scheduled = [run for run in due if run.auto_scheduled and run.id not in submitted]
    for run in sorted(scheduled, key=lambda one: one.next_scheduled_start_time or one.expected_start_time or _NEVER):
        if (before := newest.get(run.deployment_id)) is not None:
            late.append(before)
        newest[run.deployment_id] = run
    return late


class _RunningProcess:
    """The process of a run, once it was started; takes the place of whoever waits for its number."""

    def __init__(self, waiting: "anyio.abc.TaskStatus[int] | None") -> None:
        self._waiting = waiting
        self._pid: int | None = None
        self._is_told = False
        self.ended = anyio.Event()

    def started(self, value: Any = None) -> None:
        """Take the number of the process, and pass it on."""
        self._pid = value
        if self._is_told:
            self._send(signal.SIGTERM)
        if self._waiting is not None:
            self._waiting.started(value)

    async def stop_when_cancelled(self) -> None:
        """Wait until the worker stops, then stop the process: it may finish its act; what does not end is killed."""
        try:
            await self.ended.wait()
        except BaseException:
            self._is_told = True
            self._send(signal.SIGTERM)
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(GRACE_S):
                    await self.ended.wait()
                if not self.ended.is_set():
                    self._send(signal.SIGKILL)
            raise

    def _send(self, number: signal.Signals) -> None:
        # It leads a session of its own.
        if self._pid is not None and not self.ended.is_set():
            with suppress(ProcessLookupError):
                os.killpg(self._pid, number)


async def work(pool: str, name: str | None) -> None:
    """Take runs from a pool until SIGTERM or SIGINT.

    Args:
        pool: name of the work pool.
        name: name of the worker; None for one that Prefect makes.
    """
    working = asyncio.ensure_future(PatientWorker(pool, name=name, create_pool_if_not_found=False).start())
    for number in (signal.SIGTERM, signal.SIGINT):
        # Taken although the shell that started this may ignore it.
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with suppress(asyncio.CancelledError):
        await working
