"""Dead runs: a release whose process is gone though no event said so, and the recoveries that were begun for it."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL

from deployments.ledger import Release
from deployments.ledger.unclosed_releases import reached
from deployments.redaction.redactor import redacted
from tasks import connections, gates, production_state, record
from tasks.step import step
from tasks.values import Finding

log = logging.getLogger(__name__)

RECOVERY: Final = "recover/recover"
STARTED: Final = "recovery started by the watchdog"
# How the watchdog names itself in a row of the ledger.
WATCHDOG: Final = "watchdog: "
# Before each try: whatever stops a recovery, such as production being away, is waited out for eight hours.
PAUSES: Final = tuple(timedelta(minutes=each) for each in (0, 1, 2, 4, 8, 15, 30, 60, 120, 240))
# A recovery holds the release within this, or its process has died on the way, whatever Prefect says.
BEGINS_WITHIN: Final = timedelta(minutes=2)


# The state of a run that died, once its release was finished: no event of it starts another recovery.
RECOVERED: Final = "Recovered"


class NextTry(Enum):
    """What is done about a dead run now."""

    UNDER_WAY = "its recovery is under way"
    START = "its recovery is started now"
    PAUSE = "its recovery is started again after a pause"
    NONE_LEFT = "its recovery is not started again"


@dataclass(frozen=True)
class DeadRun:
    """A release whose process is gone, or has lost its lease.

    Attributes:
        release: the ledger's row.
        died_in: how far it had come, in words: `in` an act or `after` one.
        tries: when each recovery was started by the watchdog.
        told: whether the run itself said that it stops, and that recovery goes on.
    """

    release: Release
    died_in: str
    tries: tuple[datetime, ...]
    told: bool = False

    @property
    def name(self) -> str:
        """What died, in words."""
        return f"{'Rollback' if record.release_undone_by(self.release) else 'Release'} of {self.release.ref}"

    @property
    def is_ours(self) -> bool:
        """Whether it is a row of the watchdog itself."""
        return self.release.requested_by.startswith(WATCHDOG)

    @property
    def due(self) -> datetime | None:
        """When the next recovery is to be started; None where all tries were made."""
        if len(self.tries) == len(PAUSES):
            return None
        return self.tries[-1] + PAUSES[len(self.tries)] if self.tries else datetime.min.replace(tzinfo=UTC)


@step("look for a dead run", timeout_s=120)
def find_dead_run() -> DeadRun | None:
    """The release of the target whose process is gone, or whose lease has run out; None where there is none."""
    found = gates.release_to_recover(None, wait=False).release
    if found is None:
        return None
    with connections.ledger(connections.settings()) as ledger:
        steps, left = ledger.steps(found.id), ledger.leftovers(found.id)
    tries = {one.details.get("number"): one.at for one in steps if one.step == STARTED}
    told = any(one.step == record.TOLD_TO_STOP for one in steps)
    return DeadRun(found, reached(left, steps), tuple(tries.values()), told)


def next_try(dead: DeadRun, *, under_way: bool, now: datetime) -> NextTry:
    """Decide what is done about a dead run now.

    Args:
        dead: the run, and the tries so far.
        under_way: whether a recovery of it runs or is about to.
        now: the time.
    """
    if under_way:
        return NextTry.UNDER_WAY
    if dead.due is None:
        return NextTry.NONE_LEFT
    return NextTry.START if now >= dead.due else NextTry.PAUSE


def has_server() -> bool:
    """Whether there is a Prefect server that starts runs."""
    return bool(PREFECT_API_URL.value())


@step("end the dead run", timeout_s=120, retries=0)
def end_dead_flow_run(flow_run_id: str, outcome: str) -> None:
    """Let Prefect say of a run that died how its release ended: it would call it running for ever.

    Args:
        flow_run_id: the run; one that has ended stays as it is.
        outcome: what became of its release.
    """
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(flow_run_id))
        if run.state is None or not run.state.is_final():
            message = redacted(f"its process died, and the recovery has finished what it had begun: {outcome}")
            client.set_flow_run_state(
                run.id, State(type=StateType.CRASHED, name=RECOVERED, message=message), force=True
            )


@step("look for a recovery under way", timeout_s=120)
def is_under_way(dead: DeadRun) -> bool:
    """Whether a recovery of a dead run runs, or is about to.

    Prefect says of a run whose worker was killed with it that it runs, for ever: the run that held the release until
    now has died, whatever Prefect says, and so has one that has not taken it within two minutes.
    """
    with get_client(sync_client=True) as client:
        return any(_may_take(run, dead.release) for run in _recoveries(client))


def _recoveries(client: SyncPrefectClient) -> list[FlowRun]:
    deployment = client.read_deployment_by_name(RECOVERY)
    alive = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=alive)),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=50,
    )


def _may_take(run: FlowRun, release: Release) -> bool:
    if run.parameters.get("release_id") not in {None, "", release.id} or str(run.id) == release.flow_run_id:
        return False
    if run.state is not None and run.state.is_scheduled():
        return True
    begun = run.start_time or run.expected_start_time
    return begun is None or datetime.now(UTC) - begun.astimezone(UTC) < BEGINS_WITHIN


@step("start recovery", timeout_s=120)
def start_recovery(dead: DeadRun) -> None:
    """Let the Prefect server run `recover` for a dead run; however often it is asked for, this try is one run."""
    release, number = dead.release, len(dead.tries) + 1
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(RECOVERY)
        run = client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"release_id": release.id},
            idempotency_key=f"pilotage watchdog {release.id} lease {release.fence} try {number}",
        )
    note_try(dead, str(run.id))


def note_try(dead: DeadRun, flow_run_id: str | None) -> None:
    """Write down that a recovery was started."""
    number = len(dead.tries) + 1
    record.note(dead.release.id, STARTED, number=number, fence=dead.release.fence, flow_run_id=flow_run_id)


@step("close own row", timeout_s=60)
def close_own_row(dead: DeadRun) -> None:
    """Close a row of the watchdog itself whose process died: what it was about is found again."""
    with connections.ledger(connections.settings()) as ledger:
        ledger.abandon(dead.release.id, reason="its process died; what is left is found again", by="watchdog")


def finding(dead: DeadRun, what: NextTry, failure: Exception | None = None) -> Finding | None:
    """What is told of a dead run: that it died, that its recovery failed, and that it is not tried again.

    Args:
        dead: the run.
        what: what is done about it.
        failure: why the recovery could not be started, where it could not.
    """
    release = dead.release
    facts = {"Release": release.id, "Its process died": dead.died_in}
    if failure is not None:
        return Finding(
            f"recovery not started {release.id}",
            f"{dead.name}: its process died, and its recovery could not be started",
            {**facts, "Why": str(failure)},
            next_step=f"`pilotage recover {release.id}`; the watchdog goes on trying.",
            release_id=release.id,
        )
    if what is NextTry.NONE_LEFT:
        return Finding(
            f"recovery given up {release.id}",
            f"{dead.name}: recovery failed {len(dead.tries)} times, a person is needed",
            {**facts, "Why it failed last": _reason(release), "What stands": production_state.read().description},
            next_step=f"mend what is named, then `pilotage recover {release.id}` finishes it; "
            f"`pilotage release abandon {release.id}` closes it as it is.",
            release_id=release.id,
        )
    has_failed = what is not NextTry.UNDER_WAY and (release.fence > 1 or bool(dead.tries))
    if has_failed:
        return Finding(
            f"recovery failed {release.id}",
            f"{dead.name}: recovery came to no end, and is tried again",
            {**facts, "Why": _reason(release), "Tries": f"{len(PAUSES)} within {_hours()} hours, the pauses grow"},
            text=_when(dead, what),
            release_id=release.id,
        )
    if release.fence > 1 or dead.told:
        # Its recovery told of the death, or the run itself that it stops.
        return None
    return Finding(
        f"died {release.id}", f"{dead.name}: its process died", facts, text=f"Now {what.value}.", release_id=release.id
    )


def _when(dead: DeadRun, what: NextTry) -> str:
    if what is NextTry.START or dead.due is None:
        return "It is started again now."
    return f"It is started again at {dead.due:%H:%M:%S} UTC."


def _hours() -> int:
    return round(sum(PAUSES, timedelta()) / timedelta(hours=1))


def _reason(release: Release) -> str:
    """Why the run that held the release last came to no end, as Prefect has it."""
    unknown = "not known: its process died, or Prefect was away"
    if not (release.flow_run_id and has_server()):
        return unknown

    def ask(run_id: str = release.flow_run_id) -> str:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run_id)).state
        return (state.message if state and state.is_final() else "") or unknown

    return production_state.ask_or_none("why the recovery failed", ask) or unknown
