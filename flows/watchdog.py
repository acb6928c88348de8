"""Watchdog: what no event announced is found on a schedule, finished where that is safe, and told once."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from prefect import State, flow
from prefect.states import Completed

from deployments.git.repository import Commit
from deployments.ledger import ReleaseRunning
from flows.recover import recover
from tasks import notification, protection, record
from tasks.errors import CannotTell, TaskError
from tasks.process import broken_pipes
from tasks.step import without_secrets
from tasks.steps import cancelled_runs, dead_runs, left_behind
from tasks.steps.dead_runs import DeadRun, NextTry
from tasks.values import Finding, ReleaseRequest

log = logging.getLogger(__name__)


@flow(name="watchdog")
@without_secrets
def watchdog() -> State[str]:
    """Look for releases that nobody runs, for what they left behind, and for messages that wait.

    Each look is for itself: one that cannot tell, since a service is away, stops no other. It is safe to run twice at
    once, and whenever it is killed the next run goes on.

    Raises:
        CannotTell: at least one look could not be had; the run is red, and the next one looks again.
    """
    broken_pipes.survive_broken_pipes()
    looks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("whether the process of a release died", watch_over_releases),
        ("whether a run that was cancelled goes on", stop_cancelled_runs),
        ("whether production's branch lacks its protection", give_back_protection),
        ("whether maintenance mode was left on", watch_over_maintenance),
        ("which branches belong to nobody", watch_over_branches),
        ("whether messages wait for Slack", deliver_messages),
    )
    seen, unknown = list[str](), list[str]()
    for question, look in looks:
        try:
            seen.append(look())
        except Exception as error:
            log.warning("%s cannot be told: %s", question, error, exc_info=error)
            unknown.append(f"{question} cannot be told: {error or type(error).__name__}")
    if unknown:
        raise CannotTell("; ".join((*unknown, *seen)))
    summary = "; ".join(seen)
    return Completed(message=summary, data=summary)


def watch_over_releases() -> str:
    """Start the recovery of a release whose process died, and tell of it."""
    dead = dead_runs.find_dead_run()
    if dead is None:
        return "no dead run"
    if dead.is_ours:
        dead_runs.close_own_row(dead)
        return f"closed {dead.release.id}, whose process died"
    has_server = dead_runs.has_server()
    what = dead_runs.next_try(dead, under_way=has_server and dead_runs.is_under_way(dead), now=datetime.now(UTC))
    if what is NextTry.START and has_server:
        try:
            dead_runs.start_recovery(dead)
        except Exception as error:
            tell(dead_runs.finding(dead, what, error))
            raise
    tell(dead_runs.finding(dead, what))
    ended = f": {recover_here(dead)}" if what is NextTry.START and not has_server else ""
    return f"{dead.release.id} died {dead.died_in}: {what.value}{ended}"


def stop_cancelled_runs() -> str:
    """Tell a run to stop that was cancelled and goes on, since its worker is gone."""
    found = cancelled_runs.find_cancelled_run()
    if found is None:
        return "no cancelled run goes on"
    if found.is_here:
        is_told = cancelled_runs.stop_cancelled_run(found)
        return f"{found.release.id} was cancelled: its run {'is told to stop' if is_told else 'has ended'}"
    tell(cancelled_runs.finding(found))
    return f"{found.release.id} was cancelled, and goes on on another machine"


def recover_here(dead: DeadRun) -> str:
    """Run the recovery in this process, where no server starts runs; what became of it."""
    dead_runs.note_try(dead, None)
    try:
        return str(recover(dead.release.id))
    except TaskError as error:
        # A release that was taken back, or a recovery that is tried again.
        return str(error)


def give_back_protection() -> str:
    """Protect production's branch again where a release lifted that and did not live to give it back."""
    found = left_behind.find_lifted_protection()
    if found is None:
        unprotected = left_behind.find_unprotected()
        tell(unprotected)
        return unprotected.headline if unprotected else "no protection is lifted"
    by = found.release
    try:
        row = record.open_release(
            ReleaseRequest(ref=by.ref, target_revision=by.target_revision),
            Commit(by.commit_sha, by.ref, ""),
            requested_by=f"{dead_runs.WATCHDOG}protection of production's branch, lifted by {by.id}",
        )
    except ReleaseRunning:
        return "a release has begun, which looks after the protection"
    with record.lease(row):
        trouble = protection.restore_protection(row.id)
        said = "production's branch could not be protected again" if trouble else "production's branch protected again"
        record.close_release(row.id, "failed" if trouble else "succeeded", trouble or said)
    tell(left_behind.protection_finding(found, row.id, trouble))
    return said


def watch_over_maintenance() -> str:
    """Tell of maintenance mode that is on though no release is open."""
    found = left_behind.find_maintenance()
    tell(found)
    return found.headline if found else "no maintenance mode left on"


def watch_over_branches() -> str:
    """Delete what releases that are over have rehearsed on; tell of branches that nobody will delete."""
    found = left_behind.tidy_branches()
    tell(*found)
    return f"{len(found)} branches belong to nobody" if found else "no branch of nobody"


def deliver_messages() -> str:
    """Send what Slack did not take before."""
    return "no message waits" if notification.deliver_kept() else "messages wait for Slack, which does not take them"


def tell(*findings: Finding | None) -> None:
    """Tell Slack what was found; what was told before is not told again."""
    for found in findings:
        if found is not None:
            notification.tell(
                found.headline,
                found.facts,
                text=found.text,
                next_step=found.next_step,
                release_id=found.release_id,
                fact=found.fact or None,
            )
