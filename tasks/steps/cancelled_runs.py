"""Cancelled runs: one whose process goes on, since the worker that knew it is gone and no other one can stop it."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client

from deployments.ledger import Release, holder_state, tell_to_stop
from tasks import connections, record
from tasks.step import step
from tasks.steps import dead_runs
from tasks.values import Finding

log = logging.getLogger(__name__)

# A worker tells a run to stop within seconds of its cancel.
WORKER_ACTS_WITHIN: Final = timedelta(seconds=20)
CANCELLED: Final = "cancelled "
STOPPED: Final = "cancelled, and told to stop by the watchdog"


@dataclass(frozen=True)
class CancelledRun:
    """A run that was cancelled, and whose process holds its release.

    Attributes:
        release: the ledger's row.
        since: when it was cancelled.
        is_here: whether the process is one of this machine.
    """

    release: Release
    since: datetime
    is_here: bool


@step("look for a cancelled run", timeout_s=120)
def find_cancelled_run() -> CancelledRun | None:
    """The run that holds the target's release though it was cancelled a while ago; None where there is none."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        release = ledger.running(settings.target)
    if release is None or release.flow_run_id is None or not dead_runs.has_server():
        return None
    holder = holder_state(release.holder)
    if holder == "gone":
        return None
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(release.flow_run_id)).state
    if state is None or not (state.is_cancelling() or state.is_cancelled()):
        return None
    since = (state.timestamp or datetime.now(UTC)).astimezone(UTC)
    if datetime.now(UTC) - since < WORKER_ACTS_WITHIN:
        return None
    return CancelledRun(release, since, is_here=holder == "alive")


@step("stop a cancelled run", timeout_s=60, retries=0)
def stop_cancelled_run(found: CancelledRun) -> bool:
    """Tell a run of this machine to stop, as its worker would: it finishes its act and hands its release over.

    Returns:
        Whether it was told; not where it has ended meanwhile.
    """
    if not tell_to_stop(found.release.holder):
        return False
    log.warning("release %s was cancelled, and its run is told to stop", found.release.id)
    record.note(found.release.id, STOPPED, cancelled_at=found.since.isoformat(timespec="seconds"))
    return True


def finding(found: CancelledRun) -> Finding:
    """What is told of a cancelled run that goes on on another machine."""
    release = found.release
    host, pid, _ = release.holder.rsplit(":", 2)
    kind = "Rollback" if record.release_undone_by(release) else "Release"
    return Finding(
        f"{CANCELLED}{release.id}",
        f"{kind} of {release.ref} was cancelled, and goes on",
        {"Release": release.id, "Its process": f"{pid} on {host}", "Cancelled": f"{found.since:%H:%M:%S} UTC"},
        text="The worker that started it is gone, and the watchdog runs on another machine: nothing there has told it "
        "to stop.",
        next_step=f"`kill -TERM {pid}` on {host} lets it finish its act and hand over; the watchdog has it recovered "
        "then. Left alone, it goes on to its own end.",
        release_id=release.id,
    )
