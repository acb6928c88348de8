"""A flow run followed from a terminal: each step as it begins and ends."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from rich.console import Console

from flows.cli.console.command_errors import CommandFailed

POLL_S = 0.4
DEADLINE_S = 3 * 3600.0
# What a recovery makes of the state of a run that it has finished.
RECOVERED = "Recovered"
# Flows that leave something open in the ledger when they are cut off.
CHANGING = {"release", "rollback", "recover"}
RECOVERY = "recover/recover"
# What `deployments/automations.yaml` lets Prefect's server start a recovery for, some seconds after it was cut off.
RECOVERED_BY_ITSELF = {"release/release", "rollback/rollback"}
RECOVERY_BEGINS_S = 60.0
MARKS = {"COMPLETED": "[green]✔[/]", "FAILED": "[red]✘[/]", "CRASHED": "[red]✘[/]", "CANCELLED": "[yellow]■[/]"}


@dataclass(frozen=True)
class FollowedRun:
    """How a run ended.

    Attributes:
        run_id: id of the flow run.
        succeeded: whether it completed.
        cut_off: whether its process ended before the flow did, so that nothing was closed; not where a recovery has.
        message: the last state's message.
        seconds: from its start to its end.
        steps: name, state and seconds of each step, in order.
        ended_at: when it came to its last state.
    """

    run_id: UUID
    succeeded: bool
    cut_off: bool
    message: str
    seconds: float
    steps: tuple[tuple[str, str, float], ...]
    ended_at: datetime | None = None


def trigger(deployment: str, parameters: dict[str, object]) -> FlowRun:
    """Start a run of a deployment through Prefect's API.

    Args:
        deployment: `flow/deployment`.
        parameters: the flow's parameters.

    Raises:
        CommandFailed: the server does not know the deployment.
    """
    if not PREFECT_API_URL.value():
        raise CommandFailed("nobody said where the Prefect server is: set PREFECT_API_URL, as http://HOST:PORT/api")
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound as error:
            raise CommandFailed(
                f"the Prefect server at {client.api_url} has no deployment {deployment}: run `prefect deploy --all`"
            ) from error
        return client.create_flow_run_from_deployment(found.id, parameters=parameters)


def follow(run: FlowRun, console: Console, *, deadline_s: float) -> FollowedRun:
    """Print each step of a run as it goes, until the run ends.

    Args:
        run: the run to follow.
        console: where to print.
        deadline_s: seconds after which following stops with TimeoutError; the run goes on.
    """
    shown: dict[UUID, str] = {}
    ends = time.monotonic() + deadline_s
    with get_client(sync_client=True) as client:
        while True:
            now = _read(client, run.id)
            for step in _steps(client, run.id):
                _show(step, shown, console)
            if now is not None and now.state is not None and now.state.is_final():
                return _followed_run(now, _steps(client, run.id))
            if time.monotonic() > ends:
                raise TimeoutError(
                    f"run {run.name} has not ended after {deadline_s:.0f} s: look at {ui_address(run.id)}"
                )
            time.sleep(POLL_S)


def run_to_end(deployment: str, parameters: dict[str, object]) -> None:
    """Start a run, print it as it goes, and fail where it fails.

    Raises:
        CommandFailed: the run did not complete; its message says why.
    """
    console = Console(highlight=False)
    run = trigger(deployment, parameters)
    console.print(f"{deployment}: {ui_address(run.id)}", soft_wrap=True)
    followed = follow(run, console, deadline_s=DEADLINE_S)
    recovered = _follow_recovery(followed, console) if followed.cut_off and deployment in RECOVERED_BY_ITSELF else None
    if not followed.succeeded:
        raise CommandFailed(failure_reason(followed, deployment, recovered))
    console.print(followed.message or "completed", soft_wrap=True)


def failure_reason(followed: FollowedRun, deployment: str, recovered: FollowedRun | None = None) -> str:
    """Why a run did not complete, and what leads on where its process ended before the flow did.

    Args:
        followed: how the run ended.
        deployment: what it was a run of.
        recovered: how the recovery ended that Prefect has started since; None where it has started none.
    """
    if not followed.cut_off:
        return followed.message
    ended = f"the run's process ended before the flow did ({followed.message.rstrip('.') or 'no reason was given'})"
    if deployment.partition("/")[0] not in CHANGING:
        return f"{ended}: run it again"
    if recovered is not None and not recovered.cut_off:
        return f"{ended}; the recovery has followed: {recovered.message}"
    return (
        f"{ended}, and nothing was closed: `pilotage recover` says what stands and finishes it, forward or back; "
        "`pilotage ledger` shows the release"
    )


def recovery_since(recoveries: Sequence[FlowRun], ended_at: datetime) -> FlowRun | None:
    """The first recovery that was started after a run had been cut off.

    Args:
        recoveries: runs of `recover`, in any order.
        ended_at: when the run ended that was cut off.
    """
    since = [run for run in recoveries if run.created and run.created >= ended_at]
    return min(since, key=lambda run: run.created or ended_at, default=None)


def _follow_recovery(followed: FollowedRun, console: Console) -> FollowedRun | None:
    """Follow the recovery that Prefect starts for a run that was cut off; None where it starts none in time."""
    if followed.ended_at is None:
        return None
    console.print("  its process ended before the flow did: waiting for the recovery that Prefect starts")
    ends = time.monotonic() + RECOVERY_BEGINS_S
    while time.monotonic() < ends:
        if (recovery := recovery_since(_recoveries(), followed.ended_at)) is not None:
            console.print(f"{RECOVERY}: {ui_address(recovery.id)}", soft_wrap=True)
            return follow(recovery, console, deadline_s=DEADLINE_S)
        time.sleep(POLL_S)
    return None


def _recoveries() -> list[FlowRun]:
    try:
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(RECOVERY)
            only = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))
            return client.read_flow_runs(flow_run_filter=only, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=20)
    except (ObjectNotFound, PrefectHTTPStatusError):
        return []


def ui_address(run_id: UUID) -> str:
    """Where the run is shown in the Prefect UI."""
    with get_client(sync_client=True) as client:
        return f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{run_id}"


def _read(client: SyncPrefectClient, run_id: UUID) -> FlowRun | None:
    try:
        return client.read_flow_run(run_id)
    except PrefectHTTPStatusError as error:
        if error.response.status_code < 500:
            raise
        return None


def _steps(client: SyncPrefectClient, run_id: UUID) -> list[TaskRun]:
    try:
        return client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), sort=TaskRunSort.EXPECTED_START_TIME_ASC
        )
    except PrefectHTTPStatusError as error:
        if error.response.status_code < 500:
            raise
        return []


def _show(step: TaskRun, shown: dict[UUID, str], console: Console) -> None:
    state = step.state.type.value if step.state else "PENDING"
    if shown.get(step.id) == state or state in {"PENDING", "SCHEDULED"}:
        return
    shown[step.id] = state
    name = step.name.rsplit("-", 1)[0] if step.name.startswith(f"{step.task_key}-") else step.name
    if mark := MARKS.get(state):
        console.print(f"  {mark} {name} [dim]{step.total_run_time.total_seconds():.1f} s[/]")
    elif state == "RUNNING":
        console.print(f"  [cyan]▸[/] {name}")


def _followed_run(run: FlowRun, steps: list[TaskRun]) -> FollowedRun:
    state = run.state
    return FollowedRun(
        run_id=run.id,
        succeeded=bool(state and state.is_completed()),
        cut_off=bool(state and (state.is_crashed() or state.is_cancelled()) and state.name != RECOVERED),
        message=(state.message if state else None) or "",
        seconds=run.total_run_time.total_seconds(),
        steps=tuple((s.name, s.state.type.value if s.state else "", s.total_run_time.total_seconds()) for s in steps),
        ended_at=state.timestamp if state else None,
    )
