"""Which rollback path to take: a pure function of what failed and how far the release had come."""

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
    UNKNOWN = "unknown"


class RollbackPath(StrEnum):
    """How a failed release is undone."""

    NOTHING = "nothing was touched"
    STAGING = "staging rolled back"
    UNCHANGED = "verified that nothing changed"
    APPLICATION = "application rolled back, the schema stays"
    DOWNGRADE = "application rolled back, the revisions taken back"
    RESTORE = "production restored to the sealed point"
    HOLD = "held for a person"


@dataclass(frozen=True)
class Situation:
    """How far a release had come when it failed.

    Attributes:
        failed: what failed.
        staging_touched: staging may have been changed.
        sealed: a restore point exists: production may have been touched since.
        applied: whether revisions of this release stand in production; None where that could not be read.
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
    validates_earlier_release: bool = False


def decide(situation: Situation) -> RollbackPath:
    """Choose the way back that loses least and is known to work; where none is known, hold for a person.

    A failure that only says "could not tell" never moves production: it has served so far, and nothing proves that
    going back is better. A way that the rehearsal did not prove is not taken: then production is restored.
    """
    match situation:
        case Situation(sealed=False, staging_touched=False):
            return RollbackPath.NOTHING
        case Situation(sealed=False):
            return RollbackPath.STAGING
        case Situation(applied=None):
            return RollbackPath.HOLD
        case Situation(failed=FailureKind.REVISION, applied=False):
            return RollbackPath.UNCHANGED
        case Situation(first_release=True):
            return RollbackPath.HOLD
        case Situation(failed=FailureKind.DATA | FailureKind.SCHEMA):
            return RollbackPath.HOLD if situation.validates_earlier_release else RollbackPath.RESTORE
        case Situation(failed=FailureKind.REVISION):
            # What was proven of the whole plan is not proven of a part of it: the schema does not stay half-way.
            return RollbackPath.DOWNGRADE if situation.reversible else RollbackPath.RESTORE
        case Situation(failed=FailureKind.APPLICATION):
            return _path_to_previous_build(situation)
        case _:
            return RollbackPath.HOLD


def _path_to_previous_build(situation: Situation) -> RollbackPath:
    """The way back to the previous application, with the schema that it is proven to work on."""
    if not situation.applied or situation.compatible:
        return RollbackPath.APPLICATION
    if situation.validates_earlier_release:
        return RollbackPath.HOLD
    return RollbackPath.DOWNGRADE if situation.reversible else RollbackPath.RESTORE


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
        case _:
            return FailureKind.UNKNOWN
