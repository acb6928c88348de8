"""Rollback: back to the last good state, started by a release that failed or by hand."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from deployments.git.repository import Commit
from deployments.ledger import Release
from flows.decision import Way
from flows.ending import Outcome, WayBack, ended, given_up, hold, say
from tasks import best_effort, broken_pipes, catalogue, gates, production_state, protection, record
from tasks.errors import CannotTell, DataFailed, RollbackFailed, SchemaFailed, TaskError, verdict_error
from tasks.step import without_secrets
from tasks.steps import maintenance, report, restoration, snapshot, staging, status, validation
from tasks.values import ReleaseRequest, Restoration, RestorePoint, Verdict

log = logging.getLogger(__name__)

AFTERWARDS_S = 5.0
AFTERWARDS_WINDOWS = 6


@flow(name="rollback", flow_run_name="rollback {release_id}")
@without_secrets
def rollback(
    release_id: str,
    way: Annotated[Literal["application", "data"], Field(title="Way back")] = "application",
    reason: str = "started by hand",
) -> State[str]:
    """Bring production back to where it was before a release.

    Args:
        release_id: Id of the release in the ledger; none after it may stand in production.
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
    opened = _open(undone, reason)
    with record.lease(opened.id):
        try:
            applied = status.applied_since(point, _commit(undone))
        except Exception as failure:
            said = hold(opened.id, undone.ref, RollbackFailed(reason), failure, undone_id=undone.id)
            raise RollbackFailed(said) from failure
        revisions = applied[-1:] if applied else point.revisions
        back = WayBack(opened.id, _commit(undone), point, revisions, failed_release_id=undone.id, by_hand=True)
        summary = conclude(back, Way.RESTORE if way == "data" else Way.APPLICATION, RollbackFailed(reason), undone.ref)
        return Completed(message=summary, data=summary)


def _open(undone: Release, reason: str) -> Release:
    request = ReleaseRequest(ref=undone.ref, target_revision=undone.target_revision)
    return record.open_release(request, _commit(undone), requested_by=record.asked_back(undone.id, reason))


def _commit(release: Release) -> Commit:
    """The commit of a release as the ledger has it: a way back is open where the repository is away, too."""
    return Commit(release.commit_sha, release.ref, "")


def conclude(back: WayBack, way: Way, error: Exception, ref: str) -> str:
    """Walk a way back to its end, and say everywhere what was done.

    Returns:
        The summary.

    Raises:
        RollbackFailed: the way could not be walked to its end; what was done and what stands is written down, and a
            person has to take over.
    """
    began = datetime.now(UTC)
    best_effort.notify_slack(
        back.release_id,
        f"Rollback of {ref} begins" if back.by_hand else f"Release of {ref} failed",
        {**back.named, "Way back, begun now": way.value},
        text=f"{back.cause}: {error}",
    )
    outcome = Outcome()
    try:
        walk(back, way, began, outcome)
    except Exception as failure:
        _protect_again(back, outcome)
        raise RollbackFailed(say(back, error, outcome, given_up(back, ref, way, outcome, failure))) from failure
    _protect_again(back, outcome)
    return say(back, error, outcome, ended(back, ref, way, error, outcome))


def walk(back: WayBack, way: Way, began: datetime, outcome: Outcome) -> None:
    """Do what a way back asks for; every way ends validated. What is done is noted as it is done."""
    match way:
        case Way.NOTHING:
            outcome.summary = "nothing was touched"
            _drop_snapshot(back, outcome)
        case Way.STAGING:
            staging.roll_back_staging(back.release_id)
            outcome.summary = "staging rolled back, production was not touched"
            _drop_snapshot(back, outcome)
        case Way.UNCHANGED:
            restoration.verify_unchanged(back.release_id, _point(back))
            outcome.verdicts = _database(back, unchanged=True)
            outcome.summary = "the failed revision left nothing behind, production is as it was"
            _see_it_serve(back, began, outcome)
        case Way.APPLICATION:
            _back_to_the_application(back, began, outcome)
        case Way.DOWNGRADE:
            _back_by_the_revisions(back, began, outcome)
        case Way.RESTORE:
            _back_to_the_restore_point(back, began, outcome)
        case Way.HOLD:
            # Nothing is changed: what stands is told, and a person decides.
            outcome.summary = f"nothing was moved: {production_state.read().description}"


def _drop_snapshot(back: WayBack, outcome: Outcome) -> None:
    outcome.warn(
        best_effort.attempt(
            back.release_id,
            "the release's snapshot could not be deleted, and expires by itself",
            lambda: snapshot.drop_snapshot(back.release_id),
        )
    )


def _back_to_the_application(back: WayBack, began: datetime, outcome: Outcome) -> None:
    point = _point(back)
    if _restore_broke_off(back):
        _back_to_the_restore_point(back, began, outcome)
        return
    moved = point.serving_deployment_id and restoration.roll_back_application(
        back.release_id, point.serving_deployment_id
    )
    build = "the previous build serves again" if moved else "the previous build went on serving"
    outcome.summary = f"application rolled back, {build}, the schema stays at {back.stands}"
    try:
        outcome.verdicts = _database(back, unchanged=False)
        if production_state.read().maintenance:
            # A way back that broke off has left it on; the rows have just been checked.
            _let_writes_in(back, outcome)
        _see_it_serve(back, began, outcome)
    except (DataFailed, SchemaFailed) as error:
        if back.failed_release_id is not None:
            # The point may be days old: what was written since is given up by whoever asks for it alone.
            raise RollbackFailed(
                f"the database did not pass after the application was rolled back: {error}. Nothing was restored, as "
                f"only the application was to go back: `pilotage rollback {back.undone_id} --way data` restores "
                "production to the sealed point; where the rows are right as they are, nothing more is to do"
            ) from error
        log.warning("the database did not pass after the application was rolled back: restoring production")
        _back_to_the_restore_point(back, began, outcome)
        return
    _keep_catalogue(back, outcome, lambda: catalogue.keep_production(back.release_id, back.commit))


def _back_by_the_revisions(back: WayBack, began: datetime, outcome: Outcome) -> None:
    """Take back what the release applied, with writes refused meanwhile; restore where that does not come out even."""
    point = _point(back)
    _refuse_writes(back, outcome)
    if point.serving_deployment_id:
        restoration.roll_back_application(back.release_id, point.serving_deployment_id)
        outcome.summary = "application rolled back, the previous build serves again"
    try:
        restoration.take_back_revisions(back.release_id, back.commit, point)
        outcome.verdicts = _database(back, unchanged=True)
    except (RollbackFailed, DataFailed, SchemaFailed):
        log.warning("the revisions could not be taken back: restoring production")
        _back_to_the_restore_point(back, began, outcome)
        return
    outcome.summary = (
        "application rolled back, the previous build serves again, the revisions were taken back without loss"
    )
    _keep_catalogue(back, outcome, lambda: catalogue.keep_restored(back.release_id, back.undone_id, point))
    _let_writes_in(back, outcome)
    _see_it_serve(back, began, outcome)


def _back_to_the_restore_point(back: WayBack, began: datetime, outcome: Outcome) -> None:
    point = _point(back)
    restored = _restored(back, point, outcome)
    outcome.kept_branch = restored.kept_branch
    done = (
        f"production had been restored to the sealed point {restored.lsn} before, and was not restored again: "
        "what was written since then stays"
        if restored.before
        else f"production restored to the sealed point {restored.lsn}"
    )
    kept = f"the state before is kept as branch {restored.kept_branch}"
    outcome.summary = f"{done}, {kept}"
    _protect_again(back, outcome)
    if point.serving_deployment_id:
        restoration.roll_back_application(back.release_id, point.serving_deployment_id)
        outcome.summary = f"{done}, the previous build serves again, {kept}"
    outcome.verdicts = _database(back, unchanged=True)
    _make_receipt(back, point, restored, outcome)
    _keep_catalogue(back, outcome, lambda: catalogue.keep_restored(back.release_id, back.undone_id, point))
    # Writes are let in again only to rows that have been checked; whether users are served is seen once they are.
    _let_writes_in(back, outcome)
    _see_it_serve(back, began, outcome)


def _restore_broke_off(back: WayBack) -> bool:
    """Whether production has been restored to the point by a try before: then that is what has to be finished."""
    if back.failed_release_id is None:
        return False
    try:
        return restoration.find_restore(back.undone_id, _point(back)) is not None
    except Exception as error:
        log.warning("whether production was restored before cannot be told: %s", error)
        return False


def _restored(back: WayBack, point: RestorePoint, outcome: Outcome) -> Restoration:
    """Restore production, or find that it was restored to this point before, whoever asked for it then.

    What a restore needs is known before writes are refused. Where it is refused all the same, and nothing else was
    changed, they are let in again: production serves on as it did.
    """
    found = restoration.find_restore(back.undone_id, point)
    if found is None:
        restoration.refuse_unrestorable(back.undone_id, point)
    elif status.serving_deployment_id() == point.serving_deployment_id:
        return found
    refused_before = outcome.maintenance
    _refuse_writes(back, outcome)
    if found is not None:
        return found
    try:
        return restoration.restore_production(back.release_id, back.undone_id, point)
    except Exception as failure:
        log.warning("the restore failed: looking what stands (%s)", failure)
        if (found := restoration.find_restore(back.undone_id, point)) is not None:
            return replace(found, before=False)
        if not refused_before:
            _let_writes_in(back, outcome)
        raise


def _refuse_writes(back: WayBack, outcome: Outcome) -> None:
    """Switch maintenance mode on; where the application does not follow, what it writes is kept all the same."""
    outcome.maintenance = True
    try:
        maintenance.set_maintenance(back.release_id, on=True)
    except RollbackFailed as error:
        outcome.warn(f"writes were not refused meanwhile: {error}")


def _let_writes_in(back: WayBack, outcome: Outcome) -> None:
    maintenance.set_maintenance(back.release_id, on=False)
    outcome.maintenance = False


def _protect_again(back: WayBack, outcome: Outcome) -> None:
    """Give production's branch its protection back, where a restore found it protected."""

    def give_back() -> None:
        outcome.warn(protection.give_back(back.release_id))

    if back.point is not None:
        unknown = "whether production's branch is protected as it was cannot be told: look in Neon's console"
        outcome.warn(best_effort.attempt(back.release_id, unknown, give_back))


def _make_receipt(back: WayBack, point: RestorePoint, restored: Restoration, outcome: Outcome) -> None:
    def make() -> None:
        made = restoration.make_receipt(back.release_id, point, restored)
        outcome.lost = report.receipt_text(made, since=point.seal.sealed_at, elsewhere=gates.kept_since(back.undone_id))

    outcome.warn(
        best_effort.attempt(
            back.release_id,
            f"the receipt could not be made; the rows are on the branch {restored.kept_branch}, and "
            f"`pilotage rollback {back.undone_id} --way data` makes it again without another restore",
            make,
        )
    )


def _keep_catalogue(back: WayBack, outcome: Outcome, keep: Callable[[], None]) -> None:
    trouble = "production's catalogue could not be kept in the ledger, and may be told as drift"
    outcome.warn(best_effort.attempt(back.release_id, trouble, keep))


def _database(back: WayBack, *, unchanged: bool) -> tuple[Verdict, ...]:
    """Check catalogue and rows; the worst of the verdicts raises."""
    verdicts = validation.validate_database(
        back.release_id, back.commit, back.revisions, _point(back), unchanged=unchanged
    )
    if error := verdict_error(verdicts):
        raise error
    return verdicts


def _see_it_serve(back: WayBack, began: datetime, outcome: Outcome) -> None:
    """Watch the previous build; that it could not be watched does not undo what was done.

    Raises:
        ApplicationFailed: users are not served well.
    """
    try:
        outcome.verdicts += _served(back, began)
    except TaskError as error:
        if not isinstance(error, CannotTell):
            raise
        outcome.warn(f"whether users are served well could not be told: {error}")
    except Exception as error:
        outcome.warn(f"whether users are served well could not be told: {error}")


def _served(back: WayBack, began: datetime) -> tuple[Verdict, ...]:
    """Watch the previous build until a window is good: what the failed one left waiting needs a moment to drain."""
    serving = _point(back).serving_deployment_id
    if serving is None:
        return ()
    window = validation.Window(AFTERWARDS_S, began, serving, None, expect_users=False)
    for left in reversed(range(AFTERWARDS_WINDOWS)):
        verdicts = validation.watch_production(back.release_id, window)
        error = verdict_error(verdicts)
        if error is None:
            return verdicts
        if left == 0:
            raise error
        log.warning("not settled yet, %s windows left: %s", left, error)
    return ()


def _point(back: WayBack) -> RestorePoint:
    if back.point is None:
        raise RollbackFailed("no restore point was sealed")
    return back.point
