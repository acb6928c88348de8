"""Rollback: back to the last good state, started by a release that failed or by hand."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from deployments.ledger import EndState, Release
from deployments.repository import Commit
from flows.decision import Way
from tasks import (
    catalogue,
    maintenance,
    notification,
    record,
    report,
    restoration,
    snapshot,
    staging,
    status,
    validation,
)
from tasks.errors import DataFailed, RollbackFailed, SchemaFailed, verdict_error
from tasks.values import ReleaseRequest, RestorePoint, Verdict

log = logging.getLogger(__name__)

AFTERWARDS_S = 5.0
AFTERWARDS_WINDOWS = 6


@dataclass(frozen=True)
class WayBack:
    """What a rollback needs to know.

    Attributes:
        release_id: the ledger's row that the acts are written to.
        commit: the commit that failed; its revisions may stand in production.
        point: where production can go back to; None when production was never touched.
        revisions: the revisions that stand in production now.
        verdicts: what the release itself had measured before it failed.
        failed_release_id: the release that is undone, where that is another one than the ledger's row.
    """

    release_id: str
    commit: Commit
    point: RestorePoint | None
    revisions: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()
    failed_release_id: str | None = None

    @property
    def undone_id(self) -> str:
        """The release that is undone."""
        return self.failed_release_id or self.release_id

    @property
    def stands(self) -> str:
        """The revisions that stand, as text."""
        return ", ".join(self.revisions) or "no revision"


@dataclass(frozen=True)
class Outcome:
    """What a rollback did.

    Attributes:
        summary: what was done, in one line.
        verdicts: what the validation afterwards measured.
        kept_branch: branch that keeps the state before a restore.
        lost: what was written since the restore point, where a restore took it out of production.
    """

    summary: str
    verdicts: tuple[Verdict, ...] = ()
    kept_branch: str = ""
    lost: str = ""


@flow(name="rollback", flow_run_name="rollback {release_id}")
def rollback(
    release_id: str,
    way: Annotated[Literal["application", "data"], Field(title="Way back")] = "application",
    reason: str = "started by hand",
) -> State[str]:
    """Bring production back to where it was before a release.

    Args:
        release_id: Id of the release in the ledger; it must be the newest one.
        way: `application` serves the previous build again and keeps the schema; `data` restores the database to the
            sealed point as well: what was written since leaves production and is kept on a branch.
        reason: Why, for the ledger and Slack.
    """
    undone = record.newest_release_or_refuse(release_id)
    point = record.restore_point(release_id)
    if point is None or point.serving_deployment_id is None:
        raise RollbackFailed(
            f"release {release_id} has no earlier state to go back to: it sealed no restore point, or was the first"
        )
    opened = _open(undone, reason)
    with record.lease(opened.id):
        applied = status.applied_since(point, _commit(undone))
        revisions = applied[-1:] if applied else point.revisions
        back = WayBack(opened.id, _commit(undone), point, revisions, failed_release_id=undone.id)
        summary = conclude(back, Way.RESTORE if way == "data" else Way.APPLICATION, RollbackFailed(reason), undone.ref)
        return Completed(message=summary, data=summary)


def _open(undone: Release, reason: str) -> Release:
    request = ReleaseRequest(ref=undone.ref, target_revision=undone.target_revision)
    return record.open_release(request, _commit(undone), requested_by=f"rollback of {undone.id}: {reason}")


def _commit(release: Release) -> Commit:
    return status.resolve_ref(release.commit_sha)


def conclude(back: WayBack, way: Way, error: Exception, ref: str) -> str:
    """Walk a way back to its end, and say everywhere what was done.

    Returns:
        The summary.

    Raises:
        RollbackFailed: the way could not be walked; what stands is written down, and a person has to take over.
    """
    began = datetime.now(UTC)
    notification.tell(
        f"Release of {ref} failed", {"Release": back.release_id, "Way back": way.value}, text=f"What failed: {error}"
    )
    try:
        outcome = walk(back, way, began)
    except Exception as failure:
        summary = f"rollback failed: {failure}"
        record.close_release(back.release_id, "undecided", summary)
        notification.tell(
            f"Rollback of {ref} failed: a person is needed",
            {"Release": back.release_id, "Way back": way.value},
            text=f"{failure}\nThe release had failed with: {error}",
            next_step=f"pilotage ledger {back.release_id} shows every act; the rollback runbook tells how to go on.",
        )
        raise RollbackFailed(summary) from failure
    return _tell(back, ref, way, error, outcome)


def walk(back: WayBack, way: Way, began: datetime) -> Outcome:
    """Do what a way back asks for; every way ends validated."""
    match way:
        case Way.NOTHING:
            snapshot.drop_snapshot(back.release_id)
            return Outcome("nothing was touched")
        case Way.STAGING:
            staging.roll_back_staging(back.release_id)
            snapshot.drop_snapshot(back.release_id)
            return Outcome("staging rolled back, production was not touched")
        case Way.UNCHANGED:
            restoration.verify_unchanged(back.release_id, _point(back))
            verdicts = _database(back, unchanged=True) + _served(back, began)
            return Outcome("the failed revision left nothing behind, production is as it was", verdicts)
        case Way.APPLICATION:
            return _back_to_the_application(back, began)
        case Way.DOWNGRADE:
            return _back_by_the_revisions(back, began)
        case Way.RESTORE:
            return _back_to_the_restore_point(back, began)
        case Way.HOLD:
            return _hold(back)


def _hold(back: WayBack) -> Outcome:
    """Change nothing: what stands is told, and a person decides."""
    serving = status.serving_deployment_id() or "no deployment"
    return Outcome(f"nothing was moved: production serves {serving}, the schema stands at {back.stands}")


def _back_to_the_application(back: WayBack, began: datetime) -> Outcome:
    point = _point(back)
    moved = point.serving_deployment_id and restoration.roll_back_application(
        back.release_id, point.serving_deployment_id
    )
    try:
        verdicts = _database(back, unchanged=False) + _served(back, began)
    except (DataFailed, SchemaFailed):
        log.warning("the database did not pass after the application was rolled back: restoring production")
        return _back_to_the_restore_point(back, began)
    catalogue.keep_production(back.release_id, back.commit)
    build = "the previous build serves again" if moved else "the previous build went on serving"
    return Outcome(f"application rolled back, {build}, the schema stays at {back.stands}", verdicts)


def _back_by_the_revisions(back: WayBack, began: datetime) -> Outcome:
    """Take back what the release applied, with writes refused meanwhile; restore where that does not come out even."""
    point = _point(back)
    maintenance.set_maintenance(back.release_id, on=True)
    if point.serving_deployment_id:
        restoration.roll_back_application(back.release_id, point.serving_deployment_id)
    try:
        restoration.take_back_revisions(back.release_id, back.commit, point)
        verdicts = _database(back, unchanged=True)
    except (RollbackFailed, DataFailed, SchemaFailed):
        log.warning("the revisions could not be taken back: restoring production")
        return _back_to_the_restore_point(back, began)
    catalogue.keep_restored(back.release_id, back.undone_id, point)
    maintenance.set_maintenance(back.release_id, on=False)
    verdicts += _served(back, began)
    return Outcome(
        "application rolled back, the previous build serves again, the revisions were taken back without loss",
        verdicts,
    )


def _back_to_the_restore_point(back: WayBack, began: datetime) -> Outcome:
    point = _point(back)
    maintenance.set_maintenance(back.release_id, on=True)
    restored = restoration.restore_production(back.release_id, point)
    if point.serving_deployment_id:
        restoration.roll_back_application(back.release_id, point.serving_deployment_id)
    verdicts = _database(back, unchanged=True)
    lost = report.receipt_text(restoration.make_receipt(back.release_id, point, restored))
    catalogue.keep_restored(back.release_id, back.undone_id, point)
    # Writes are let in again only to rows that have been checked; whether users are served is seen once they are.
    maintenance.set_maintenance(back.release_id, on=False)
    verdicts += _served(back, began)
    return Outcome(
        f"production restored to the sealed point {restored.lsn}, the previous build serves again, "
        f"the state before is kept as branch {restored.kept_branch}",
        verdicts,
        kept_branch=restored.kept_branch,
        lost=lost,
    )


def _database(back: WayBack, *, unchanged: bool) -> tuple[Verdict, ...]:
    """Check catalogue and rows; the worst of the verdicts raises."""
    verdicts = validation.validate_database(
        back.release_id, back.commit, back.revisions, _point(back), unchanged=unchanged
    )
    if error := verdict_error(verdicts):
        raise error
    return verdicts


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


def _tell(back: WayBack, ref: str, way: Way, error: Exception, outcome: Outcome) -> str:
    affected = report.affected_s(back.failed_release_id or back.release_id, back.release_id)
    said, ended, headline = ENDINGS.get(way, ROLLED_BACK)
    summary = f"{said}: {outcome.summary}"
    if way in ENDINGS:
        summary += f"; what failed: {error}"
    report.publish(back.release_id, summary, back.verdicts + outcome.verdicts)
    record.close_release(back.release_id, ended, summary)
    notification.tell(
        f"Release of {ref} {headline}",
        {
            "Release": back.release_id,
            "What failed": str(error),
            "What was done": outcome.summary,
            "Users affected": notification.duration(affected) if affected else "not at all",
            "Kept branch": outcome.kept_branch,
            "Written since the restore point": outcome.lost,
        },
        next_step=NEXT[way],
    )
    return summary


ROLLED_BACK: tuple[str, EndState, str] = ("rolled back", "rolled_back", "was rolled back")
ENDINGS: dict[Way, tuple[str, EndState, str]] = {
    Way.NOTHING: ("failed", "failed", "did not start"),
    Way.HOLD: ("undecided", "undecided", "is held for a person"),
}
NEXT = {
    Way.NOTHING: "mend what is named, then release again.",
    Way.HOLD: "decide: keep what stands, or `pilotage rollback` it; the ledger shows every act.",
    Way.STAGING: "read the failed step, mend the commit, release again.",
    Way.UNCHANGED: "mend the revision; staging still carries it, so release with reset_staging.",
    Way.APPLICATION: "mend the application; the expanded schema is compatible and stays.",
    Way.DOWNGRADE: "mend the application; production is as it was, and nothing was lost.",
    Way.RESTORE: "look at the receipt and the kept branch for rows to bring over; release again with reset_staging.",
}
