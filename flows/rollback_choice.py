"""Which way back a release takes that failed: from how far it had come, and from what stands in production."""

import logging
import time
from dataclasses import dataclass
from typing import Final

from deployments.errors import DeploymentError
from deployments.git.repository import Commit
from flows.decision import FailureKind, RollbackPath, Situation, decide, failure_kind
from flows.rollback_report import RollbackContext
from migrations.errors import MigrationError
from migrations.rehearsal.evidence import Evidence
from tasks import best_effort, notification, production_state, record
from tasks.acts import Act
from tasks.errors import is_transient
from tasks.steps import restoration, status
from tasks.values import RestorePoint, Survey, Verdict

log = logging.getLogger(__name__)

# A server that starts again and a network that comes back need no person: so long are they waited for.
PRODUCTION_PATIENCE_S: Final = 300.0
LOOK_EVERY_S: Final = 2.0


@dataclass
class ReleaseProgress:
    """How far a release has come: the way back is chosen from it.

    Attributes:
        validated_release_id: the earlier release whose build this one validates; the restore point is that one's.
    """

    survey: Survey | None = None
    evidence: Evidence | None = None
    staging_touched: bool = False
    contracting: bool = False
    validated_release_id: str | None = None
    point: RestorePoint | None = None
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_first_release(self) -> bool:
        """Whether production had neither a schema nor an application before; also where it was not looked at yet."""
        return self.point is None or (self.point.serving_deployment_id is None and not self.point.revisions)


def choose_rollback_path(
    release_id: str, ref: str, commit: Commit, progress: ReleaseProgress, error: Exception
) -> tuple[RollbackContext, RollbackPath]:
    """Find out how far the release had come, and choose the way back from there.

    Production that cannot be reached is waited for first: what stands there decides.
    """
    point = progress.point
    applied = _applied_once_reached(release_id, ref, commit, point, error) if point else ()
    promoted = production_state.ask_or_none(
        "whether the new build was promoted", lambda: record.has_begun(release_id, Act.PROMOTE)
    )
    situation = situation_of(progress, failure_kind(error), applied, promoted=promoted is not False)
    return RollbackContext(
        release_id,
        commit,
        point,
        revisions_now(point, applied),
        progress.verdicts,
        failed_release_id=progress.validated_release_id,
    ), decide(situation)


def _applied_once_reached(
    release_id: str, ref: str, commit: Commit, point: RestorePoint, error: Exception
) -> tuple[str, ...] | None:
    """The revisions that were applied since a point, once production answers; None where it does not in the end."""
    ends, is_told = time.monotonic() + PRODUCTION_PATIENCE_S, False
    while True:
        try:
            return status.read_applied_since(point, commit)
        except (DeploymentError, MigrationError) as away:
            if not is_transient(away) or time.monotonic() > ends:
                log.exception("the revisions of production cannot be read")
                return None
            if not is_told:
                _tell_of_waiting(release_id, ref, error, away)
                is_told = True
        record.stop_if_lost(release_id)
        time.sleep(LOOK_EVERY_S)


def _tell_of_waiting(release_id: str, ref: str, error: Exception, away: Exception) -> None:
    minutes = notification.duration(PRODUCTION_PATIENCE_S)
    log.warning("production cannot be reached, and is waited for, %s at most: %s", minutes, away)
    best_effort.attempt(
        release_id,
        "that production is waited for could not be written",
        lambda: record.note(release_id, record.WAITS_FOR_PRODUCTION, why=str(away)),
    )
    best_effort.notify_slack(
        release_id,
        f"Release of {ref} waits for production",
        {"Release": release_id, "What failed": str(error), "Why it waits": str(away)},
        text=f"Production cannot be reached. It is waited for, {minutes} at most; what stands there then decides which "
        "way back is taken.",
    )


def situation_of(
    progress: ReleaseProgress, failed: FailureKind, applied: tuple[str, ...] | None, *, promoted: bool
) -> Situation:
    """How far a release had come, for the choice of what is done about it.

    Args:
        progress: how far, as the release itself knows.
        failed: what failed.
        applied: the revisions that stand in production and did not at the restore point; None where unknown.
        promoted: whether it had begun to promote its build, or that cannot be told.
    """
    point, evidence = progress.point, progress.evidence
    lossless = evidence is not None and evidence.way_back.lossless
    return Situation(
        failed=failed,
        staging_touched=progress.staging_touched,
        sealed=point is not None,
        applied=None if applied is None else bool(applied),
        promoted=promoted,
        first_release=progress.is_first_release,
        validates_earlier_release=progress.validated_release_id is not None,
        compatible=evidence is not None and evidence.compatible and not progress.contracting,
        reversible=point is not None and lossless and restoration.rows_written_since(point) == (),
    )


def revisions_now(point: RestorePoint | None, applied: tuple[str, ...] | None) -> tuple[str, ...]:
    """The revisions that stand in production, from those that stood at the restore point and those applied since."""
    return applied[-1:] if applied else point.revisions if point else ()
