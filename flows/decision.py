"""Which way a release goes that failed or died: pure functions of what happened and how far it had come."""

from dataclasses import dataclass
from enum import StrEnum

from tasks import errors


class FailureKind(StrEnum):
    """What failed."""

    READINESS = "readiness"
    REHEARSAL = "rehearsal"
    STAGING = "staging"
    CONTRACT = "contract"
    REVISION = "revision"
    APPLICATION = "application"
    SCHEMA = "schema"
    DATA = "data"
    PROCESS = "the release's process"
    UNKNOWN = "unknown"


class RollbackPath(StrEnum):
    """How a failed release is undone: each is said before it is done, and nothing here says that it was."""

    NOTHING = "close the release: it has touched nothing"
    STAGING = "roll staging back"
    UNCHANGED = "verify that nothing changed"
    APPLICATION = "roll the application back and leave the schema as it is"
    DOWNGRADE = "roll the application back and take the revisions back"
    RESTORE = "restore production to the sealed point"
    HOLD = "move nothing and ask a person"


@dataclass(frozen=True)
class Situation:
    """How far a release had come when it failed.

    Attributes:
        failed: what failed.
        staging_touched: staging may have been changed.
        sealed: a restore point exists: production may have been touched since.
        applied: whether revisions of this release stand in production; None where that could not be read.
        promoted: the new build may serve: to promote it was begun.
        first_release: production had no application before: there is no build to go back to.
        compatible: the rehearsal proved that the previous application works on the schema that stands now.
        reversible: the rehearsal proved the downgrades lossless, and nothing was written since to what they drop.
        validates_earlier_release: the restore point is an earlier release's, whose build was validated again: only a
            person may give up what was written since.
    """

    failed: FailureKind
    staging_touched: bool
    sealed: bool
    applied: bool | None
    first_release: bool
    compatible: bool
    reversible: bool
    promoted: bool = True
    validates_earlier_release: bool = False


def decide(situation: Situation) -> RollbackPath:
    """Choose the way back that loses least and is known to work; where none is known, hold for a person.

    A failure that only says "could not tell" never moves production: it has served so far, and nothing proves that
    going back is better. Where the new build was never promoted, and the previous one is proven to work on what stands,
    nothing has to be moved, and nobody asked. A way that the rehearsal did not prove is not taken: then production is
    restored.
    """
    match situation:
        case Situation(sealed=False):
            return RollbackPath.STAGING if situation.staging_touched else RollbackPath.NOTHING
        case Situation(applied=None):
            return RollbackPath.HOLD
        case Situation(failed=FailureKind.PROCESS, validates_earlier_release=True):
            # Nothing was changed, and somebody else has moved what it looked at.
            return RollbackPath.HOLD
        case Situation(failed=FailureKind.REVISION | FailureKind.PROCESS, applied=False):
            return RollbackPath.UNCHANGED
        case Situation(failed=FailureKind.UNKNOWN, promoted=False, validates_earlier_release=False):
            return _path_without_a_move(situation)
        case Situation(first_release=True):
            return RollbackPath.HOLD
        case Situation(failed=FailureKind.DATA | FailureKind.SCHEMA):
            return RollbackPath.HOLD if situation.validates_earlier_release else RollbackPath.RESTORE
        case Situation(failed=FailureKind.REVISION):
            # What was proven of the whole plan is not proven of a part of it: the schema does not stay half-way.
            return RollbackPath.DOWNGRADE if situation.reversible else RollbackPath.RESTORE
        case Situation(failed=FailureKind.APPLICATION | FailureKind.PROCESS):
            return _path_to_previous_build(situation)
        case _:
            return RollbackPath.HOLD


def _path_without_a_move(situation: Situation) -> RollbackPath:
    """The way that moves nothing, where the previous build has served all along."""
    if not situation.applied:
        return RollbackPath.UNCHANGED
    if situation.compatible and not situation.first_release:
        return RollbackPath.APPLICATION
    return RollbackPath.HOLD


def _path_to_previous_build(situation: Situation) -> RollbackPath:
    """The way back to the previous application, with the schema that it is proven to work on."""
    if not situation.applied or situation.compatible:
        return RollbackPath.APPLICATION
    if situation.validates_earlier_release:
        return RollbackPath.HOLD
    return RollbackPath.DOWNGRADE if situation.reversible else RollbackPath.RESTORE


class Recovery(StrEnum):
    """How a release is finished whose process died."""

    FINISH_ROLLBACK = "finish the rollback that was under way"
    TAKE_BACK = "take the release back"
    GO_ON = "validate and watch the build that serves, and go on from there"
    CLOSE = "close the release as succeeded: everything was done and found good"


@dataclass(frozen=True)
class DeathSituation:
    """How far a release had come when its process died, and what stands now.

    Attributes:
        situation: how far it had come; what failed is its process.
        began_path: the rollback path that it had taken already; None where it had taken none.
        serves: whether the build that it promoted, or validates, serves; None where that could not be read.
        verified: whether all that it had to do was done, and validated and watched with a good end.
    """

    situation: Situation
    began_path: RollbackPath | None
    serves: bool | None
    verified: bool


def decide_recovery(death: DeathSituation) -> tuple[Recovery, RollbackPath]:
    """Choose how a release is finished whose process died: forward where production was verified or can be.

    Nothing has failed: a build that serves is validated before anything is given up. A rollback that had begun is
    finished by its own path, whatever stands.

    Returns:
        What is done, and the rollback path where it is one; `NOTHING` beside what goes forward.
    """
    match death:
        case DeathSituation(began_path=RollbackPath() as begun):
            return Recovery.FINISH_ROLLBACK, begun
        case DeathSituation(situation=Situation(sealed=False) as untouched):
            return Recovery.TAKE_BACK, decide(untouched)
        case DeathSituation(serves=None) | DeathSituation(situation=Situation(applied=None)):
            return Recovery.TAKE_BACK, RollbackPath.HOLD
        case DeathSituation(serves=True, verified=True):
            return Recovery.CLOSE, RollbackPath.NOTHING
        case DeathSituation(serves=True):
            return Recovery.GO_ON, RollbackPath.NOTHING
        case _:
            return Recovery.TAKE_BACK, decide(death.situation)


def failure_kind(error: Exception) -> FailureKind:
    """Read from a step's error what failed; what no step named is unknown."""
    match error:
        case errors.NotReady():
            return FailureKind.READINESS
        case errors.RehearsalFailed():
            return FailureKind.REHEARSAL
        case errors.StagingFailed():
            return FailureKind.STAGING
        case errors.ContractFailed():
            return FailureKind.CONTRACT
        case errors.MigrationFailed():
            return FailureKind.REVISION
        case errors.ApplicationFailed():
            return FailureKind.APPLICATION
        case errors.SchemaFailed():
            return FailureKind.SCHEMA
        case errors.DataFailed():
            return FailureKind.DATA
        case errors.ProcessDied():
            return FailureKind.PROCESS
        case _:
            return FailureKind.UNKNOWN
