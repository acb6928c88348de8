"""A release whose process died: how far it had come, as its ledger tells, beside what stands in production now."""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.git.repository import Commit
from deployments.ledger import Release, ReleaseLeftovers, Step
from deployments.ledger.unclosed_releases import reached, read_leftovers
from flows.decision import DeathSituation, FailureKind, Recovery, RollbackPath, decide_recovery
from flows.rollback_choice import ReleaseProgress, revisions_now, situation_of
from flows.rollback_report import RollbackContext
from tasks import connections, gates, production_state, record
from tasks.acts import Act
from tasks.errors import ProcessDied, RollbackFailed, TaskError
from tasks.steps import rehearsal, status
from tasks.values import ReleaseRequest

STAGING_ACTS = (Act.RESET_STAGING, Act.MIGRATE_STAGING, Act.DEPLOY_STAGING)


@dataclass(frozen=True)
class DeadRelease:
    """A release whose process died.

    Attributes:
        release: the ledger's row.
        commit: what it released, or what its rollback takes back.
        request: what was asked for.
        progress: how far it had come.
        undone_id: the release that is taken back, where the row is a rollback by hand.
        brings_back: the release whose build serves again, where it takes a rollback back.
        left: what it had begun and not ended, and what it has made.
        expanded: the revision that its expand revisions end at; None where nothing was planned.
        has_contract: whether contract revisions were planned.
        died_in: the act that was under way, or the last one that had ended.
        end: whether its process died or its run was told to stop, in words.
        began_path: the rollback path that it had taken; None where it had taken none.
        cause: why it had taken that path.
        build_id: the deployment that it promoted, was about to promote, or validates; None before that.
        verified: whether all that it had to do was done, and validated and watched with a good end.
    """

    release: Release
    commit: Commit
    request: ReleaseRequest
    progress: ReleaseProgress
    undone_id: str | None
    brings_back: str | None
    left: ReleaseLeftovers
    expanded: str | None
    has_contract: bool
    died_in: str
    end: str
    began_path: RollbackPath | None
    cause: str
    build_id: str | None
    verified: bool

    @property
    def death(self) -> ProcessDied:
        """What failed, in words."""
        return ProcessDied(f"release {self.release.id} was not finished: {self.ended}")

    @property
    def ended(self) -> str:
        """How its run ended, and where, in words."""
        return f"its {self.end} {self.died_in}"

    @property
    def is_contract_cut_off(self) -> bool:
        """Whether its contract revisions were begun."""
        return self.progress.contracting and self.progress.validated_release_id is None

    @property
    def error(self) -> TaskError:
        """What its rollback is told to be for: why it had been begun, where it had."""
        if self.began_path is None:
            return self.death
        return RollbackFailed(f"{self.cause}; {self.ended}, and the rollback is finished now")


def read_dead_release(release: Release) -> DeadRelease:
    """Read from the ledger how far a release had come.

    Args:
        release: the ledger's row of a release, or of a rollback by hand.
    """
    with connections.ledger(connections.settings()) as ledger:
        steps = ledger.steps(release.id)
    undone_id = record.release_undone_by(release)
    validated_id = record.validated_release(steps)
    point_of = undone_id or validated_id or release.id
    point, brought_back = gates.return_point(connections.settings(), record.find_release(point_of))
    contracting = any(one.step == Act.CONTRACT_PRODUCTION for one in steps)
    progress = ReleaseProgress(
        evidence=rehearsal.evidence_of_release(point_of),
        staging_touched=any(one.step in STAGING_ACTS for one in steps),
        contracting=contracting or (validated_id is not None and _has_contracted(validated_id)),
        validated_release_id=validated_id,
        point=point,
    )
    plan = _last(steps, Act.PLAN, "done")
    path = _last(steps, record.ROLLBACK_PATH, "noted")
    has_contract = bool(plan and plan.details.get("contract"))
    left = read_leftovers(release, steps)
    return DeadRelease(
        release=release,
        commit=Commit(release.commit_sha, release.ref, ""),
        request=_request(release, steps),
        progress=progress,
        undone_id=undone_id,
        brings_back=brought_back.id if brought_back else None,
        left=left,
        expanded=str(plan.details["expanded"]) if plan and plan.details.get("expanded") else None,
        has_contract=has_contract,
        died_in=reached(left, steps),
        end=read_end(steps),
        began_path=RollbackPath[str(path.details["path"])] if path else None,
        cause=str(path.details.get("cause", "")) if path else "",
        build_id=_build_id(steps),
        verified=_verified(steps, must_contract=has_contract),
    )


def read_end(steps: Sequence[Step]) -> str:
    """How the run of a release ended, in words: a recovery that died afterwards has begun something, or said so."""
    for one in reversed(steps):
        if one.event == "begun" or one.step == record.RECOVERY:
            break
        if one.step == record.TOLD_TO_STOP:
            return "run was told to stop"
    return "process died"


def _request(release: Release, steps: Sequence[Step]) -> ReleaseRequest:
    asked = _last(steps, record.REQUEST, "noted")
    if asked is None:
        return ReleaseRequest(ref=release.ref, target_revision=release.target_revision)
    return ReleaseRequest.model_validate(dict(asked.details))


def _last(steps: Sequence[Step], name: str, event: str) -> Step | None:
    return next((one for one in reversed(steps) if one.step == name and one.event == event), None)


def _has_contracted(release_id: str) -> bool:
    with connections.ledger(connections.settings()) as ledger:
        return any(one.step == Act.CONTRACT_PRODUCTION for one in ledger.steps(release_id))


def _build_id(steps: Sequence[Step]) -> str | None:
    for one in reversed(steps):
        if one.step in {Act.PROMOTE, Act.WATCH_PRODUCTION} and one.details.get("deployment"):
            return str(one.details["deployment"])
    return None


def _verified(steps: Sequence[Step], *, must_contract: bool) -> bool:
    """Whether the last thing that changed production was validated and watched after it, with a good end."""
    changes = (Act.PROMOTE, Act.MIGRATE_PRODUCTION, Act.CONTRACT_PRODUCTION)
    if must_contract and _last(steps, Act.CONTRACT_PRODUCTION, "done") is None:
        return False
    for one in reversed(steps):
        if one.step == Act.WATCH_PRODUCTION and one.event == "done":
            break
        if one.step in {*changes, Act.WATCH_PRODUCTION, Act.VALIDATE_DATABASE}:
            return False
    else:
        return False
    validated, watched = (_last(steps, name, "done") for name in (Act.VALIDATE_DATABASE, Act.WATCH_PRODUCTION))
    return all(_passed(one) for one in (validated, watched))


def _passed(step: Step | None) -> bool:
    if step is None or not isinstance(found := step.details.get("verdicts"), Sequence):
        return False
    return all(isinstance(one, dict) and one.get("passed") is True for one in found)


@dataclass(frozen=True)
class PlannedRecovery:
    """How a dead release is finished.

    Attributes:
        dead: the release.
        context: what its rollback needs to know, where it is taken back.
        recovery: what is done.
        path: the rollback path, where it is one.
        standing: what stands in production, in words.
    """

    dead: DeadRelease
    context: RollbackContext
    recovery: Recovery
    path: RollbackPath
    standing: str

    @property
    def description(self) -> str:
        """What is done, in words."""
        if self.recovery in {Recovery.GO_ON, Recovery.CLOSE}:
            return self.recovery.value
        return f"{self.recovery.value}: {self.path.value}"


def plan_recovery(dead: DeadRelease) -> PlannedRecovery:
    """Look at production, and choose how a release is finished; nothing is changed.

    Args:
        dead: how far it had come.
    """
    state = production_state.read()
    applied = status.applied_since(dead.progress.point, dead.commit) if dead.progress.point else ()
    serves = None if state.deployment_id is None else dead.build_id is not None and state.deployment_id == dead.build_id
    recovery, path = decide_recovery(
        DeathSituation(
            situation=situation_of(dead.progress, FailureKind.PROCESS, applied, promoted=dead.build_id is not None),
            began_path=dead.began_path,
            serves=serves,
            verified=dead.verified,
        )
    )
    context = RollbackContext(
        dead.release.id,
        dead.commit,
        dead.progress.point,
        revisions_now(dead.progress.point, applied),
        failed_release_id=dead.undone_id or dead.progress.validated_release_id,
        by_hand=dead.undone_id is not None,
        brings_back=dead.brings_back,
    )
    return PlannedRecovery(dead, context, recovery, path, state.description)
