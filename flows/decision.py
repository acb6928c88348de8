"""Which way back: a pure function of what failed and how far the release had come."""

from dataclasses import dataclass
from enum import StrEnum

from tasks import errors


class Failed(StrEnum):
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


class Way(StrEnum):
    """The ways back."""

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
        earlier: the restore point is an earlier release's, whose build was validated again: what was written since is
            given up by a person alone.
    """

    failed: Failed
    staging_touched: bool
    sealed: bool
    applied: bool | None
    first_release: bool
    compatible: bool
    reversible: bool
    earlier: bool = False


def decide(situation: Situation) -> Way:
    """Choose the way back that loses least and is known to work; where none is known, hold for a person.

    A failure that only says "could not tell" never moves production: it has served so far, and nothing proves that
    going back is better. A way that the rehearsal did not prove is not taken: then production is restored.
    """
    match situation:
        case Situation(sealed=False, staging_touched=False):
            return Way.NOTHING
        case Situation(sealed=False):
            return Way.STAGING
        case Situation(applied=None):
            return Way.HOLD
        case Situation(failed=Failed.REVISION, applied=False):
            return Way.UNCHANGED
        case Situation(first_release=True):
            return Way.HOLD
        case Situation(failed=Failed.DATA | Failed.SCHEMA):
            return Way.HOLD if situation.earlier else Way.RESTORE
        case Situation(failed=Failed.REVISION):
            # What was proven of the whole plan is not proven of a part of it: the schema does not stay half-way.
            return Way.DOWNGRADE if situation.reversible else Way.RESTORE
        case Situation(failed=Failed.APPLICATION):
            return _back_from(situation)
        case _:
            return Way.HOLD


def _back_from(situation: Situation) -> Way:
    """The way back to the previous application, with the schema that it is proven to work on."""
    if not situation.applied or situation.compatible:
        return Way.APPLICATION
    if situation.earlier:
        return Way.HOLD
    return Way.DOWNGRADE if situation.reversible else Way.RESTORE


def what_failed(error: Exception) -> Failed:
    """Read from a step's error what failed; what no step named is unknown."""
    match error:
        case errors.NotReady():
            return Failed.READINESS
        case errors.RehearsalFailed():
            return Failed.REHEARSAL
        case errors.StagingFailed():
            return Failed.STAGING
        case errors.ContractFailed():
            return Failed.CONTRACT
        case errors.MigrationFailed():
            return Failed.REVISION
        case errors.ApplicationFailed():
            return Failed.APPLICATION
        case errors.SchemaFailed():
            return Failed.SCHEMA
        case errors.DataFailed():
            return Failed.DATA
        case _:
            return Failed.UNKNOWN
