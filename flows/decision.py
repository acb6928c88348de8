"""Which way back: a pure function of what failed and how far the release had come."""

from dataclasses import dataclass
from enum import StrEnum

from tasks import errors


class Failed(StrEnum):
    """What failed."""

    READINESS = "readiness"
    STAGING = "staging"
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
    """

    failed: Failed
    staging_touched: bool
    sealed: bool
    applied: bool | None
    first_release: bool


def decide(situation: Situation) -> Way:
    """Choose the way back that loses least and is known to work; where none is known, hold for a person.

    A failure that only says "could not tell" never moves production: it has served so far, and nothing proves that
    going back is better.
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
            return Way.RESTORE
        case Situation(failed=Failed.REVISION | Failed.APPLICATION):
            return Way.APPLICATION
        case _:
            return Way.HOLD


def what_failed(error: Exception) -> Failed:
    """Read from a step's error what failed; what no step named is unknown."""
    match error:
        case errors.NotReady():
            return Failed.READINESS
        case errors.StagingFailed():
            return Failed.STAGING
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
