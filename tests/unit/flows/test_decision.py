"""The choice of the way back, over every combination."""

import itertools
from dataclasses import replace

import pytest

from flows.decision import Failed, Situation, Way, decide, what_failed
from tasks import errors

BOTH = (False, True)
EVERY = [
    Situation(failed, staging_touched, sealed, applied, first_release, compatible, reversible)
    for failed in Failed
    for applied in (None, False, True)
    for staging_touched, sealed, first_release, compatible, reversible in itertools.product(BOTH, repeat=5)
]
SEALED = [s for s in EVERY if s.sealed]
KNOWN = [s for s in SEALED if s.applied is not None and not s.first_release]


def of(situations: list[Situation], *failed: Failed) -> list[Situation]:
    return [s for s in situations if s.failed in failed]


def test_every_combination_is_looked_at() -> None:
    assert len(EVERY) == len(Failed) * 2**5 * 3


@pytest.mark.parametrize("situation", [s for s in EVERY if not s.sealed])
def test_production_is_never_moved_before_its_restore_point_is_sealed(situation: Situation) -> None:
    assert decide(situation) is (Way.STAGING if situation.staging_touched else Way.NOTHING)


@pytest.mark.parametrize("situation", of(SEALED, Failed.DATA, Failed.SCHEMA))
def test_failed_data_or_schema_of_a_known_state_is_restored(situation: Situation) -> None:
    assert decide(situation) is (Way.RESTORE if situation in KNOWN else Way.HOLD)


@pytest.mark.parametrize("situation", [s for s in SEALED if s.applied is None])
def test_a_state_that_cannot_be_read_is_held_for_a_person(situation: Situation) -> None:
    assert decide(situation) is Way.HOLD


@pytest.mark.parametrize(
    "situation", of(SEALED, Failed.UNKNOWN, Failed.CONTRACT, Failed.READINESS, Failed.REHEARSAL, Failed.STAGING)
)
def test_what_could_not_be_told_never_moves_production(situation: Situation) -> None:
    assert decide(situation) is Way.HOLD


@pytest.mark.parametrize("situation", [s for s in of(SEALED, Failed.REVISION) if s.applied is False])
def test_a_failed_revision_that_left_nothing_is_verified(situation: Situation) -> None:
    assert decide(situation) is Way.UNCHANGED


@pytest.mark.parametrize("situation", [s for s in of(KNOWN, Failed.APPLICATION) if s.applied is False])
def test_an_application_over_an_unchanged_schema_is_rolled_back_alone(situation: Situation) -> None:
    assert decide(situation) is Way.APPLICATION


@pytest.mark.parametrize("situation", [s for s in of(KNOWN, Failed.APPLICATION) if s.applied])
def test_the_schema_stays_where_it_is_proven_compatible_and_is_taken_back_where_that_is_proven_lossless(
    situation: Situation,
) -> None:
    proven = Way.APPLICATION if situation.compatible else Way.DOWNGRADE if situation.reversible else Way.RESTORE
    assert decide(situation) is proven


@pytest.mark.parametrize("situation", [s for s in of(KNOWN, Failed.REVISION) if s.applied])
def test_a_plan_that_stands_in_part_is_taken_back_where_that_is_proven_and_restored_where_not(
    situation: Situation,
) -> None:
    assert decide(situation) is (Way.DOWNGRADE if situation.reversible else Way.RESTORE)


@pytest.mark.parametrize("situation", of([s for s in SEALED if s.first_release], Failed.APPLICATION, Failed.DATA))
def test_a_first_release_has_nothing_to_go_back_to(situation: Situation) -> None:
    assert decide(situation) is Way.HOLD


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (errors.NotReady("x"), Failed.READINESS),
        (errors.RehearsalFailed("x"), Failed.REHEARSAL),
        (errors.StagingFailed("x"), Failed.STAGING),
        (errors.ContractFailed("x"), Failed.CONTRACT),
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


@pytest.mark.parametrize("situation", [replace(s, earlier=True) for s in SEALED if s.failed is not Failed.REVISION])
def test_what_an_earlier_release_began_is_never_restored_without_a_person(situation: Situation) -> None:
    way = decide(situation)
    assert way in {Way.HOLD, Way.APPLICATION}
    if way is Way.APPLICATION:
        assert situation.failed is Failed.APPLICATION
        assert situation.compatible or not situation.applied
