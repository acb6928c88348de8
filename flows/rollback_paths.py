"""The rollback paths: each walks back to the last good state in its own way, and ends validated."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from flows.decision import RollbackPath
from flows.rollback_report import (
    RollbackContext,
    RollbackProgress,
)
from migrations.disclosure.sentences import sentence
from tasks import best_effort, catalogue, gates, production_state, protection
from tasks.errors import CannotTell, DataFailed, RollbackFailed, SchemaFailed, TaskError, verdict_error
from tasks.steps import maintenance, report, restoration, snapshot, staging, status, validation
from tasks.values import Restoration, RestorePoint, Verdict
from tasks.verdicts import LATENCY

log = logging.getLogger(__name__)

ROLLBACK_WATCH_S = 5.0
ROLLBACK_WATCHES = 6


def run_rollback_path(
    context: RollbackContext, path: RollbackPath, started_at: datetime, progress: RollbackProgress
) -> None:
    """Do what a way back asks for; every way ends validated. What is done is noted as it is done."""
    match path:
        case RollbackPath.NOTHING:
            progress.summary = "nothing was touched"
            _drop_snapshot(context, progress)
        case RollbackPath.STAGING:
            staging.roll_back_staging(context.release_id)
            progress.summary = "staging rolled back, production was not touched"
            _drop_snapshot(context, progress)
        case RollbackPath.UNCHANGED:
            restoration.verify_unchanged(context.release_id, _sealed_point(context))
            progress.verdicts = _validate_database(context, unchanged=True)
            progress.summary = "nothing was left behind, production is as it was"
            _watch_or_warn(context, started_at, progress)
        case RollbackPath.APPLICATION:
            _roll_back_application(context, started_at, progress)
        case RollbackPath.DOWNGRADE:
            _roll_back_by_downgrade(context, started_at, progress)
        case RollbackPath.RESTORE:
            _roll_back_to_restore_point(context, started_at, progress)
        case RollbackPath.HOLD:
            # Nothing is changed: what stands is told, and a person decides.
            progress.summary = f"nothing was moved: {production_state.read().description}"


def _drop_snapshot(context: RollbackContext, progress: RollbackProgress) -> None:
    progress.warn(
        best_effort.attempt(
            context.release_id,
            "the release's snapshot could not be deleted, and expires by itself",
            lambda: snapshot.drop_snapshot(context.release_id),
        )
    )


def _roll_back_application(context: RollbackContext, started_at: datetime, progress: RollbackProgress) -> None:
    point = _sealed_point(context)
    if _restore_was_interrupted(context):
        _roll_back_to_restore_point(context, started_at, progress)
        return
    moved = point.serving_deployment_id and restoration.roll_back_application(
        context.release_id, point.serving_deployment_id
    )
    which = "the previous build" if context.brings_back is None else f"the build of {context.brings_back}"
    # Where the new build was never promoted, nothing was rolled back.
    build = f"application rolled back, {which} serves again" if moved else f"{which} went on serving"
    progress.summary = f"{build}, the schema stays at {context.revisions_text}"
    try:
        progress.verdicts = _validate_database(context, unchanged=False)
        if production_state.read().maintenance:
            # A way back that broke off has left it on; the rows have just been checked.
            _allow_writes(context, progress)
        _watch_or_warn(context, started_at, progress)
    except (DataFailed, SchemaFailed) as error:
        if context.failed_release_id is not None:
            # The point may be days old: what was written since is given up by whoever asks for it alone.
            raise RollbackFailed(
                f"the database did not pass after the application was rolled back: {sentence(str(error))} "
                "Nothing was restored, as only the application was to go back: "
                f"`pilotage rollback {context.undone_id} --way data` restores "
                "production to the sealed point; where the rows are right as they are, nothing more is to do"
            ) from error
        log.warning("the database did not pass after the application was rolled back: restoring production")
        _roll_back_to_restore_point(context, started_at, progress)
        return
    _keep_catalogue(context, progress, lambda: catalogue.record_production_catalog(context.release_id, context.commit))


def _roll_back_by_downgrade(context: RollbackContext, started_at: datetime, progress: RollbackProgress) -> None:
    """Take back what the release applied, with writes refused meanwhile; restore where that does not come out even."""
    point = _sealed_point(context)
    _refuse_writes(context, progress)
    if point.serving_deployment_id:
        restoration.roll_back_application(context.release_id, point.serving_deployment_id)
        progress.summary = "application rolled back, the previous build serves again"
    try:
        restoration.downgrade_revisions(context.release_id, context.commit, point)
        progress.verdicts = _validate_database(context, unchanged=True)
    except (RollbackFailed, DataFailed, SchemaFailed):
        log.warning("the revisions could not be taken back: restoring production")
        _roll_back_to_restore_point(context, started_at, progress)
        return
    progress.summary = (
        "application rolled back, the previous build serves again, the revisions were taken back without loss"
    )
    _keep_catalogue(
        context, progress, lambda: catalogue.record_restored_catalog(context.release_id, context.undone_id, point)
    )
    _allow_writes(context, progress)
    _watch_or_warn(context, started_at, progress)


def _roll_back_to_restore_point(context: RollbackContext, started_at: datetime, progress: RollbackProgress) -> None:
    point = _sealed_point(context)
    restored = _restore_or_find(context, point, progress)
    progress.kept_branch = restored.kept_branch
    done = (
        f"production had been restored to the sealed point {restored.lsn} before, and was not restored again: "
        "what was written since then stays"
        if restored.before
        else f"production restored to the sealed point {restored.lsn}"
    )
    kept = f"the state before is kept as branch {restored.kept_branch}"
    progress.summary = f"{done}, {kept}"
    give_back_protection(context, progress)
    if point.serving_deployment_id:
        restoration.roll_back_application(context.release_id, point.serving_deployment_id)
        progress.summary = f"{done}, the previous build serves again, {kept}"
    progress.verdicts = _validate_database(context, unchanged=True)
    _make_receipt(context, point, restored, progress)
    _keep_catalogue(
        context, progress, lambda: catalogue.record_restored_catalog(context.release_id, context.undone_id, point)
    )
    # Writes are let in again only to rows that have been checked; whether users are served is seen once they are.
    _allow_writes(context, progress)
    _watch_or_warn(context, started_at, progress)


def _restore_was_interrupted(context: RollbackContext) -> bool:
    """Whether production has been restored to the point by a try before: then that is what has to be finished."""
    if context.failed_release_id is None:
        return False
    try:
        return restoration.find_restore(context.undone_id, _sealed_point(context)) is not None
    except Exception as error:
        log.warning("whether production was restored before cannot be told: %s", error)
        return False


def _restore_or_find(context: RollbackContext, point: RestorePoint, progress: RollbackProgress) -> Restoration:
    """Restore production, or find that it was restored to this point before, whoever asked for it then.

    What a restore needs is known before writes are refused. Where it is refused all the same, and nothing else was
    changed, they are let in again: production serves on as it did.
    """
    found = restoration.find_restore(context.undone_id, point)
    if found is None:
        restoration.refuse_unrestorable(context.undone_id, point)
    else:
        restoration.record_found_restore(context.release_id, found)
        if status.serving_deployment_id() == point.serving_deployment_id:
            return found
    refused_before = progress.maintenance
    _refuse_writes(context, progress)
    if found is not None:
        return found
    try:
        return restoration.restore_production(context.release_id, context.undone_id, point)
    except Exception as failure:
        log.warning("the restore failed: looking what stands (%s)", failure)
        if (found := restoration.find_restore(context.undone_id, point)) is not None:
            restoration.record_found_restore(context.release_id, found)
            return replace(found, before=False)
        if not refused_before:
            _allow_writes(context, progress)
        raise


def _refuse_writes(context: RollbackContext, progress: RollbackProgress) -> None:
    """Switch maintenance mode on; where the application does not follow, what it writes is kept all the same."""
    progress.maintenance = True
    try:
        maintenance.set_maintenance(context.release_id, on=True)
    except RollbackFailed as error:
        progress.warn(f"writes were not refused meanwhile: {error}")


def _allow_writes(context: RollbackContext, progress: RollbackProgress) -> None:
    maintenance.set_maintenance(context.release_id, on=False)
    progress.maintenance = False


def _make_receipt(
    context: RollbackContext, point: RestorePoint, restored: Restoration, progress: RollbackProgress
) -> None:
    def make() -> None:
        made = restoration.make_receipt(context.release_id, point, restored)
        progress.rows_taken_out = report.receipt_text(
            made, since=point.seal.sealed_at, elsewhere=gates.kept_since(context.undone_id)
        )

    progress.warn(
        best_effort.attempt(
            context.release_id,
            f"the receipt could not be made; the rows are on the branch {restored.kept_branch}, and "
            f"`pilotage rollback {context.undone_id} --way data` makes it again without another restore",
            make,
        )
    )


def _keep_catalogue(context: RollbackContext, progress: RollbackProgress, keep: Callable[[], None]) -> None:
    trouble = "production's catalogue could not be kept in the ledger, and may be told as drift"
    progress.warn(best_effort.attempt(context.release_id, trouble, keep))


def _validate_database(context: RollbackContext, *, unchanged: bool) -> tuple[Verdict, ...]:
    """Check catalogue and rows; the worst of the verdicts raises."""
    verdicts = validation.validate_database(
        context.release_id, context.commit, context.revisions, _sealed_point(context), unchanged=unchanged
    )
    if error := verdict_error(verdicts):
        raise error
    return verdicts


def _watch_or_warn(context: RollbackContext, started_at: datetime, progress: RollbackProgress) -> None:
    """Watch the previous build; that it could not be watched, or is slow, does not undo what was done.

    Raises:
        ApplicationFailed: users get errors, or not the build that they should.
    """
    try:
        seen = _watch_previous_build(context, started_at)
        progress.verdicts += seen
        if slow := verdict_error(seen):
            progress.warn(
                f"users are served, but slowly, as {ROLLBACK_WATCHES} windows of {ROLLBACK_WATCH_S:.0f} s have shown: "
                f"{slow}; look whether the previous build was as slow before, and what else loads the database"
            )
    except TaskError as error:
        if not isinstance(error, CannotTell):
            raise
        progress.warn(f"whether users are served well could not be told: {error}")
    except Exception as error:
        progress.warn(f"whether users are served well could not be told: {error}")


def _watch_previous_build(context: RollbackContext, started_at: datetime) -> tuple[Verdict, ...]:
    """Watch the previous build until a window is good: what the failed one left waiting needs a moment to drain.

    Returns:
        The verdicts of the last window: at the worst it was slow.
    """
    serving = _sealed_point(context).serving_deployment_id
    if serving is None:
        return ()
    window = validation.WatchWindow(ROLLBACK_WATCH_S, started_at, serving, None, expect_users=False)
    for left in reversed(range(ROLLBACK_WATCHES)):
        verdicts = validation.watch_production(context.release_id, window)
        error = verdict_error(verdicts)
        if error is None:
            return verdicts
        if left == 0 and verdict_error(tuple(one for one in verdicts if one.check != LATENCY)) is None:
            return verdicts
        if left == 0:
            raise error
        log.warning("not settled yet, %s windows left: %s", left, error)
    return ()


def _sealed_point(context: RollbackContext) -> RestorePoint:
    if context.point is None:
        raise RollbackFailed("no restore point was sealed")
    return context.point


def give_back_protection(context: RollbackContext, progress: RollbackProgress) -> None:
    """Give production's branch its protection back, where a restore found it protected."""

    def give_back() -> None:
        progress.warn(protection.restore_protection(context.release_id))

    if context.point is not None:
        unknown = "whether production's branch is protected as it was cannot be told: look in Neon's console"
        progress.warn(best_effort.attempt(context.release_id, unknown, give_back))
