"""Watchdog: what no event announced is found on a schedule, finished where that is safe, and told once."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from prefect import State, flow
from prefect.states import Completed

from flows.recover import recover
from tasks import notification
from tasks.errors import CannotTell, TaskError
from tasks.process import broken_pipes
from tasks.step import without_secrets
from tasks.steps import dead_runs
from tasks.steps.dead_runs import DeadRun, NextTry
from tasks.values import Finding

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


def recover_here(dead: DeadRun) -> str:
    """Run the recovery in this process, where no server starts runs; what became of it."""
    dead_runs.note_try(dead, None)
    try:
        return str(recover(dead.release.id))
    except TaskError as error:
        # A release that was taken back, or a recovery that is tried again.
        return str(error)


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
