"""The worker and the run are killed in the middle of the production deploy: what becomes of the release by itself."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from deployments.ledger import Release
from deployments.local.hosting.processes import parent_of
from flows.cli.console import demo_checks, flow_runs, scenario
from flows.cli.console.command_errors import CommandFailed
from tasks import connections
from tasks.acts import Act

console = scenario.console

REF = scenario.REFS["killed"]
# The revisions stand by then, and the previous build serves.
KILLED_IN = Act.BUILD_PRODUCTION
ACT_S = 120.0
# The watchdog looks each minute, and a run takes some seconds to start.
FOUND_S = 150.0
POLL_S = 0.02


def run_scenario(state: Path) -> None:
    """Release under traffic, kill worker and run with SIGKILL, and wait for what finishes the release."""
    before, acknowledged = scenario.begin(state)
    with scenario.traffic(acknowledged) as running:
        scenario.announce(REF)
        began = time.monotonic()
        request = {"ref": REF, "watch_seconds": scenario.WATCH_S}
        run = flow_runs.trigger("release/release", {"request": request})
        row = _row_in_act(run)
        _kill(row)
        console.print(f"  Prefect says of its run: {_state(run.id)}; the ledger: {row.state}")
        console.rule("nobody does anything")
        console.print("  the platform starts the worker again, as systemd would, and the watchdog looks each minute")
        recovery = _recovery_run(run)
        console.print(f"  found after {time.monotonic() - began:.0f} s: recover", markup=False)
        recovered = flow_runs.follow(recovery, console, deadline_s=scenario.RUN_DEADLINE_S)
        console.print(f"  Prefect says of the run that was killed: {_state(run.id)}")
        took = time.monotonic() - began
    scenario.end(
        demo_checks.DemoResult(
            "killed",
            replace(recovered, seconds=took),
            running.result(),
            before,
            demo_checks.read_production(),
            acknowledged,
        )
    )


def _row_in_act(run: FlowRun) -> Release:
    """The row of a run, as soon as it is in the act in which it is killed; each act is printed as it begins."""
    ends = time.monotonic() + ACT_S
    shown = 0
    with connections.ledger(connections.settings()) as ledger:
        while time.monotonic() < ends:
            row = next(iter(ledger.releases(limit=1)), None)
            if row is not None and row.flow_run_id == str(run.id):
                begun = [step.step for step in ledger.steps(row.id) if step.event == "begun"]
                for name in begun[shown:]:
                    console.print(f"  [cyan]▸[/] {name}")
                shown = len(begun)
                if KILLED_IN in begun:
                    return row
                if row.state != "running":
                    raise CommandFailed(f"the release ended before it could be killed: {row.summary}")
            time.sleep(POLL_S)
    raise CommandFailed(
        f"the release did not come to `{KILLED_IN}` within {ACT_S:.0f} s: look at {flow_runs.ui_address(run.id)}"
    )


def _kill(row: Release) -> None:
    process = int(row.holder.split(":")[1])
    worker = parent_of(process)
    # The worker first: it would tell Prefect that the run crashed.
    for number in (worker, process):
        os.kill(number, signal.SIGKILL)
    console.print(f"  [red]SIGKILL[/] to the worker (process {worker}) and to the release's own process ({process})")


def _state(run_id: UUID) -> str:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
        return state.name or state.type.value if state else "nothing"


def _recovery_run(killed: FlowRun) -> FlowRun:
    """The run of `recover` that something else than this demo has started."""
    ends = time.monotonic() + FOUND_S
    with get_client(sync_client=True) as client:
        while time.monotonic() < ends:
            found = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["recover"])),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=1,
            )
            if found:
                return found[0]
            time.sleep(0.5)
    raise CommandFailed(
        f"nothing has begun to recover the release within {FOUND_S:.0f} s: look at {flow_runs.ui_address(killed.id)}"
    )
