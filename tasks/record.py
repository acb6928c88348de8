"""The ledger's side of the checklist: open a release, keep its lease, write each act down before and after it."""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from prefect.runtime import flow_run
from pydantic import JsonValue, TypeAdapter

from deployments.call_budget import counted
from deployments.git.repository import Commit
from deployments.ledger import EndState, LeaseLost, Ledger, LedgerError, Release, Step, StepHandle
from tasks import connections, fencing
from tasks.acts import RULES, Act
from tasks.process import termination
from tasks.step import step
from tasks.values import ReleaseRequest, RestorePoint

log = logging.getLogger(__name__)

STATUS, REQUEST, VALIDATES, ROLLBACK_PATH = "status", "request", "validates the build of", "rollback path"
TOLD_TO_STOP = "told to stop"
RECOVERY = "recovery"
WAITS_FOR_PRODUCTION = "waits for production"
CALLS = "calls of services"
_ROLLBACK = "rollback of "
_restore_point: TypeAdapter[RestorePoint] = TypeAdapter(RestorePoint)


@step("open release", timeout_s=60)
def open_release(request: ReleaseRequest, commit: Commit, *, requested_by: str) -> Release:
    """Write the release into the ledger, which keeps one running release a target.

    Raises:
        ReleaseRunning: another release of this target runs, or died and was not closed.
    """
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        return ledger.begin_release(
            target=settings.target,
            ref=request.ref,
            commit_sha=commit.sha,
            target_revision=request.target_revision,
            requested_by=requested_by,
            flow_run_id=flow_run.get_id(),
            lease_s=settings.lease_s,
        )


@step("take over release", timeout_s=60)
def take_over_release(release_id: str) -> Release:
    """Hold a release whose process is gone or whose lease has expired; that process changes nothing more.

    Raises:
        ReleaseAlive: its lease is live, and its process is not known to be gone.
        ReleaseEnded: it has ended meanwhile.
    """
    given = connections.settings()
    with connections.ledger(given) as ledger:
        return ledger.take_over(release_id, given.lease_s, flow_run_id=flow_run.get_id())


@step("close release", timeout_s=60)
def close_release(release_id: str, state: EndState, summary: str) -> Release:
    """Write the end of the release into the ledger, and how often the services were called; the next one may begin."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        ended = ledger.end_release(release_id, state, summary, fence=fencing.fence_of(release_id))
        try:
            ledger.note(release_id, CALLS, {service: asdict(counts) for service, counts in counted().items()})
        except LedgerError as error:
            log.warning("how often the services were called could not be kept: %s", error)
        return ended


@contextmanager
def lease(release: Release) -> Generator[None]:
    """Keep the lease of a release that this process holds while the block runs, so that others see that it lives."""
    settings = connections.settings()
    with (
        connections.ledger(settings) as ledger,
        ledger.lease_kept(release.id, settings.lease_s, fence=release.fence),
        fencing.holding(release),
    ):
        yield


def let_lease_run_out(release_id: str, fence: int) -> None:
    """Let a release that this process held, and does nothing for any more, be taken over now.

    Raises:
        LeaseLost: it was closed, or another process has taken it over.
    """
    with connections.ledger(connections.settings()) as ledger:
        ledger.renew_lease(release_id, 0, fence=fence)


def stop_if_lost(release_id: str) -> None:
    """Make sure, before anything is told in a release's name, that this process still holds it.

    Raises:
        LeaseLost: it was closed, or another process has taken it over: that one tells what becomes of it.
        TerminationSignal: this process was told to stop: recovery tells what becomes of it.
    """
    termination.stop_if_told()
    fence = fencing.fence_of(release_id)
    if fence is None:
        return
    settings = connections.settings()
    try:
        with connections.ledger(settings) as ledger:
            ledger.check_fence(release_id, fence)
    except LeaseLost:
        raise
    except LedgerError as error:
        log.warning("whether release %s is still held cannot be told: %s", release_id, error)


@contextmanager
def recorded_step(release_id: str, act: Act, **details: JsonValue) -> Generator[StepHandle]:
    """Write an act into the ledger before and after the block, and its failure too; the block may change services.

    A run that is told to stop enters no block any more; it finishes the one that it is in, or leaves it where that
    only reads.
    """
    settings = connections.settings()
    fence = fencing.fence_of(release_id)
    with (
        termination.act(is_left_at_once=RULES[act].only_reads),
        connections.ledger(settings) as ledger,
        ledger.step(release_id, act.value, details, fence=fence) as handle,
        fencing.within(fencing.OpenAct(ledger, release_id, act, fence)),
    ):
        yield handle


def note(release_id: str, name: str, **details: JsonValue) -> None:
    """Write a fact into the ledger that no single act stands for."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        ledger.note(release_id, name, details)


def restore_point_json(point: RestorePoint) -> Mapping[str, Any]:
    """The restore point as the ledger keeps it."""
    return _restore_point.dump_python(point, mode="json")


def restore_point(release_id: str) -> RestorePoint | None:
    """The restore point that a release sealed; None when it never came to that."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        return point_of(ledger, release_id)


def point_of(ledger: Ledger, release_id: str) -> RestorePoint | None:
    """The same, from a ledger that is open."""
    for entry in reversed(ledger.steps(release_id)):
        if entry.step == Act.RESTORE_POINT and entry.event == "done":
            return _restore_point.validate_python(entry.details)
    return None


def validated_release(steps: Sequence[Step]) -> str | None:
    """The earlier release whose build a release validated instead of one of its own; None where it made its own.

    Args:
        steps: the steps of the release, in their order.
    """
    noted = next((one for one in reversed(steps) if one.step == VALIDATES and one.event == "noted"), None)
    return None if noted is None else str(noted.details["release"])


def find_release(release_id: str) -> Release:
    """The ledger's row of a release.

    Raises:
        ReleaseNotFound: there is none of that id.
    """
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        return ledger.release(release_id)


def has_begun(release_id: str, act: Act) -> bool:
    """Whether a release has begun an act."""
    with connections.ledger(connections.settings()) as ledger:
        return any(one.step == act for one in ledger.steps(release_id))


def rollback_requested_by(undone_id: str, reason: str) -> str:
    """How the ledger's row of a rollback by hand says what it takes back, and why."""
    return f"{_ROLLBACK}{undone_id}: {reason}"


def release_undone_by(release: Release) -> str | None:
    """The release that a rollback by hand takes back; None where the release is no such rollback."""
    asked = release.requested_by
    return asked.removeprefix(_ROLLBACK).partition(":")[0] if asked.startswith(_ROLLBACK) else None
