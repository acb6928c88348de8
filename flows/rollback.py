"""Rollback: back to the last good state, started by a release that failed or by hand."""

import logging
from datetime import UTC, datetime
from typing import Annotated, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from deployments.git.repository import Commit
from deployments.ledger import Release
from flows import rollback_paths
from flows.decision import RollbackPath
from flows.handover import held
from flows.rollback_report import (
    RollbackContext,
    RollbackProgress,
    close_and_report,
    completed_result,
    hold_for_decision,
    interrupted_result,
)
from tasks import best_effort, gates, record
from tasks.errors import RollbackFailed
from tasks.process import broken_pipes
from tasks.step import without_secrets
from tasks.steps import status
from tasks.values import ReleaseRequest

log = logging.getLogger(__name__)

# Nothing is done between what failed and the end, which tells both.
ENDS_AT_ONCE = (RollbackPath.NOTHING, RollbackPath.HOLD)


@flow(name="rollback", flow_run_name="rollback {release_id}")
@without_secrets
def rollback(
    release_id: str,
    way: Annotated[Literal["application", "data"], Field(title="Way back")] = "application",
    reason: str = "started by hand",
) -> State[str]:
    """Bring production back to where it was before a release.

    Args:
        release_id: Id of the release in the ledger; none after it may stand in production. Of a rollback by hand that
            left the database as it was: the build that it took out of service serves again.
        way: `application` serves the previous build again and keeps the schema; `data` restores the database to the
            sealed point as well: what was written since leaves production and is kept on a branch.
        reason: Why, for the ledger and Slack.
    """
    broken_pipes.survive_broken_pipes()
    found = gates.rollback_target(release_id, way)
    if found.nothing_to_do:
        said = f"nothing to do: {found.nothing_to_do}"
        return Completed(message=said, data=said)
    undone, point = found.release, found.point
    opened = _open_rollback(undone, reason)
    path = RollbackPath.RESTORE if way == "data" else RollbackPath.APPLICATION
    record.note(opened.id, record.ROLLBACK_PATH, path=path.name, cause=reason)
    with held(opened):
        try:
            applied = status.applied_since(point, _commit(undone))
        except Exception as failure:
            record.stop_if_lost(opened.id)
            said = hold_for_decision(opened.id, undone.ref, RollbackFailed(reason), failure, undone_id=undone.id)
            raise RollbackFailed(said) from failure
        revisions = applied[-1:] if applied else point.revisions
        context = RollbackContext(
            opened.id,
            _commit(undone),
            point,
            revisions,
            failed_release_id=undone.id,
            by_hand=True,
            brings_back=found.brings_back,
        )
        summary = recover_and_report(context, path, RollbackFailed(reason), undone.ref)
        return Completed(message=summary, data=summary)


def _open_rollback(undone: Release, reason: str) -> Release:
    request = ReleaseRequest(ref=undone.ref, target_revision=undone.target_revision)
    return record.open_release(request, _commit(undone), requested_by=record.rollback_requested_by(undone.id, reason))


def _commit(release: Release) -> Commit:
    """The commit of a release as the ledger has it: a way back is open where the repository is away, too."""
    return Commit(release.commit_sha, release.ref, "")


def recover_and_report(
    context: RollbackContext, path: RollbackPath, error: Exception, ref: str, *, is_announced: bool = False
) -> str:
    """Walk a way back to its end, and say everywhere what was done.

    Args:
        context: what is taken back, and to where.
        path: the way.
        error: what failed, or why it is asked for.
        ref: what was released.
        is_announced: whether Slack has been told already what is done now.

    Returns:
        The summary.

    Raises:
        LeaseLost: another process has taken the release over: it tells what becomes of it.
        RollbackFailed: the way could not be walked to its end; what was done and what stands is written down, and a
            person has to take over.
    """
    record.stop_if_lost(context.release_id)
    started_at = datetime.now(UTC)
    if not context.by_hand:
        best_effort.attempt(
            context.release_id,
            "the ledger could not be told which rollback path is taken",
            lambda: record.note(context.release_id, record.ROLLBACK_PATH, path=path.name, cause=str(error)),
        )
    if not is_announced and path not in ENDS_AT_ONCE:
        best_effort.notify_slack(
            context.release_id,
            f"Rollback of {context.undone_text(ref)} begins" if context.by_hand else f"Release of {ref} failed",
            {**context.release_ids, "Doing now": path.value},
            text=f"{context.cause_label}: {error}",
        )
    progress = RollbackProgress()
    try:
        rollback_paths.run_rollback_path(context, path, started_at, progress)
    except Exception as failure:
        record.stop_if_lost(context.release_id)
        rollback_paths.give_back_protection(context, progress)
        raise RollbackFailed(
            close_and_report(context, error, progress, interrupted_result(context, ref, path, progress, failure))
        ) from failure
    rollback_paths.give_back_protection(context, progress)
    # What only watches takes a release that was lost meanwhile for a measurement that could not be had.
    record.stop_if_lost(context.release_id)
    return close_and_report(context, error, progress, completed_result(context, ref, path, error, progress))
