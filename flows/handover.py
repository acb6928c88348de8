"""A release is handed over to recovery by a run that is told to stop."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from prefect.exceptions import TerminationSignal

from deployments.ledger import Release
from deployments.ledger.unclosed_releases import reached, read_leftovers
from tasks import best_effort, connections, record
from tasks.process import termination

log = logging.getLogger(__name__)


@contextmanager
def held(release: Release) -> Generator[None]:
    """Hold a release while the block runs; a run that is told to stop finishes its act and hands the release over.

    Raises:
        TerminationSignal: it was told to stop: Prefect calls the run crashed, or cancelled where that was asked for,
            and either lets the server start the recovery.
    """
    with termination.finishing_acts(connections.settings().stop_s):
        try:
            with record.lease(release):
                yield
        except TerminationSignal:
            try:
                hand_over(release)
            except Exception:
                # It ends all the same, and in a state that starts the recovery.
                log.exception(
                    "release %s could not be handed over, and is recovered when its lease has run out", release.id
                )
            raise


def hand_over(release: Release) -> None:
    """Say that a run ends here and what goes on, and let its release be taken over now."""
    with connections.ledger(connections.settings()) as ledger:
        steps = ledger.steps(release.id)
    where = reached(read_leftovers(release, steps), steps)
    log.warning("release %s was told to stop %s, and is left to recovery", release.id, where)
    best_effort.attempt(
        release.id,
        "that it was told to stop could not be written",
        lambda: record.note(release.id, record.TOLD_TO_STOP, stopped=where),
    )
    best_effort.attempt(
        release.id,
        "the lease runs out later than it could",
        lambda: record.let_lease_run_out(release.id, release.fence),
    )
    undone = record.release_undone_by(release)
    best_effort.notify_slack(
        release.id,
        f"{'Rollback' if undone else 'Release'} of {release.ref} was told to stop",
        {"Release": release.id, "Stopped": where},
        text=(
            "Its run was cancelled, or its worker stops: the run ends now, and what it did so far stands. Recovery "
            "will look at production and finish it, forward where what serves is found good, back otherwise."
        ),
        next_step="nothing, where recovery begins within some minutes; else `pilotage recover`.",
    )
