"""The choice of the way back, over every combination."""

import itertools

import pytest

from flows.decision import Failed, Situation, Way, decide, what_failed
from tasks import errors

EVERY = [
    Situation(failed, staging_touched, sealed, applied, first_release)
    for failed, staging_touched, sealed, applied, first_release in itertools.product(
        Failed, (False, True), (False, True), (None, False, True), (False, True)
    )
]


@pytest.mark.parametrize("situation", [s for s in EVERY if not s.sealed])
def test_production_is_never_moved_before_its_restore_point_is_sealed(situation: Situation) -> None:
    assert decide(situation) is (Way.STAGING if situation.staging_touched else Way.NOTHING)


@pytest.mark.parametrize("situation", [s for s in EVERY if s.sealed])
def test_a_restore_is_taken_for_failed_data_or_schema_of_a_known_state_only(situation: Situation) -> None:
    known = situation.applied is not None and not situation.first_release
    assert (decide(situation) is Way.RESTORE) == (situation.failed in {Failed.DATA, Failed.SCHEMA} and known)


@pytest.mark.parametrize("situation", [s for s in EVERY if s.sealed and s.applied is None])
def test_a_state_that_cannot_be_read_is_held_for_a_person(situation: Situation) -> None:
    assert decide(situation) is Way.HOLD


@pytest.mark.parametrize("situation", [s for s in EVERY if s.sealed and s.failed is Failed.UNKNOWN])
def test_what_could_not_be_told_never_moves_production(situation: Situation) -> None:
    assert decide(situation) is Way.HOLD


@pytest.mark.parametrize("first_release", [False, True])
def test_a_failed_revision_that_left_nothing_is_verified(first_release: bool) -> None:
    assert decide(Situation(Failed.REVISION, True, True, False, first_release)) is Way.UNCHANGED


@pytest.mark.parametrize("failed", [Failed.REVISION, Failed.APPLICATION])
def test_the_schema_stays_when_revisions_stand_and_the_data_is_good(failed: Failed) -> None:
    assert decide(Situation(failed, True, True, True, False)) is Way.APPLICATION


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (errors.NotReady("x"), Failed.READINESS),
        (errors.StagingFailed("x"), Failed.STAGING),
        (errors.MigrationFailed("x"), Failed.REVISION),
        (errors.ApplicationFailed("x"), Failed.APPLICATION),
        (errors.DataFailed("x"), Failed.DATA),
        (errors.SchemaFailed("x"), Failed.SCHEMA),
        (errors.CannotTell("x"), Failed.UNKNOWN),
        (RuntimeError("x"), Failed.UNKNOWN),
    ],
)
def test_what_failed_is_read_from_the_step_that_said_so(error: Exception, failed: Failed) -> None:
    assert what_failed(error) is failed
