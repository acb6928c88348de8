"""The choice of the way back, over every combination."""

import itertools
from dataclasses import replace

import pytest

from flows.decision import FailureKind, RollbackPath, Situation, decide, failure_kind
from tasks import errors

BOTH = (False, True)
EVERY = [
    Situation(failed, staging_touched, sealed, applied, first_release, compatible, reversible, promoted)
    for failed in FailureKind
    for applied in (None, False, True)
    for staging_touched, sealed, first_release, compatible, reversible, promoted in itertools.product(BOTH, repeat=6)
]
SEALED = [s for s in EVERY if s.sealed]
KNOWN = [s for s in SEALED if s.applied is not None and not s.first_release]


def of(situations: list[Situation], *failed: FailureKind) -> list[Situation]:
    return [s for s in situations if s.failed in failed]


def test_every_combination_is_looked_at() -> None:
    assert len(EVERY) == len(FailureKind) * 2**6 * 3


@pytest.mark.parametrize("situation", [s for s in EVERY if not s.sealed])
def test_production_is_never_moved_before_its_restore_point_is_sealed(situation: Situation) -> None:
    assert decide(situation) is (RollbackPath.STAGING if situation.staging_touched else RollbackPath.NOTHING)


@pytest.mark.parametrize("situation", of(SEALED, FailureKind.DATA, FailureKind.SCHEMA))
def test_failed_data_or_schema_of_a_known_state_is_restored(situation: Situation) -> None:
    assert decide(situation) is (RollbackPath.RESTORE if situation in KNOWN else RollbackPath.HOLD)


@pytest.mark.parametrize("situation", [s for s in SEALED if s.applied is None])
def test_a_state_that_cannot_be_read_is_held_for_a_person(situation: Situation) -> None:
    assert decide(situation) is RollbackPath.HOLD


@pytest.mark.parametrize(
    "situation",
    of(
        SEALED,
        FailureKind.UNKNOWN,
        FailureKind.CONTRACT,
        FailureKind.READINESS,
        FailureKind.REHEARSAL,
        FailureKind.STAGING,
    ),
)
def test_what_could_not_be_told_never_moves_production(situation: Situation) -> None:
    if situation.promoted or situation.failed is not FailureKind.UNKNOWN:
        assert decide(situation) is RollbackPath.HOLD


NOT_PROMOTED = [s for s in of(SEALED, FailureKind.UNKNOWN) if not s.promoted and s.applied is not None]


@pytest.mark.parametrize("situation", NOT_PROMOTED)
def test_what_could_not_be_told_before_the_promotion_needs_nobody_where_nothing_has_to_be_moved(
    situation: Situation,
) -> None:
    works = situation.compatible and not situation.first_release
    moves_nothing = RollbackPath.APPLICATION if works else RollbackPath.HOLD
    assert decide(situation) is (moves_nothing if situation.applied else RollbackPath.UNCHANGED)


@pytest.mark.parametrize("situation", NOT_PROMOTED)
def test_what_could_not_be_told_of_an_earlier_releases_build_is_held(situation: Situation) -> None:
    assert decide(replace(situation, validates_earlier_release=True)) is RollbackPath.HOLD


@pytest.mark.parametrize("situation", [s for s in of(SEALED, FailureKind.REVISION) if s.applied is False])
def test_a_failed_revision_that_left_nothing_is_verified(situation: Situation) -> None:
    assert decide(situation) is RollbackPath.UNCHANGED


@pytest.mark.parametrize("situation", [s for s in of(KNOWN, FailureKind.APPLICATION) if s.applied is False])
def test_an_application_over_an_unchanged_schema_is_rolled_back_alone(situation: Situation) -> None:
    assert decide(situation) is RollbackPath.APPLICATION


@pytest.mark.parametrize("situation", [s for s in of(KNOWN, FailureKind.APPLICATION) if s.applied])
def test_the_schema_stays_where_it_is_proven_compatible_and_is_taken_back_where_that_is_proven_lossless(
    situation: Situation,
) -> None:
    proven = (
        RollbackPath.APPLICATION
        if situation.compatible
        else RollbackPath.DOWNGRADE
        if situation.reversible
        else RollbackPath.RESTORE
    )
    assert decide(situation) is proven


@pytest.mark.parametrize("situation", [s for s in of(KNOWN, FailureKind.REVISION) if s.applied])
def test_a_plan_that_stands_in_part_is_taken_back_where_that_is_proven_and_restored_where_not(
    situation: Situation,
) -> None:
    assert decide(situation) is (RollbackPath.DOWNGRADE if situation.reversible else RollbackPath.RESTORE)


@pytest.mark.parametrize(
    "situation", of([s for s in SEALED if s.first_release], FailureKind.APPLICATION, FailureKind.DATA)
)
def test_a_first_release_has_nothing_to_go_back_to(situation: Situation) -> None:
    assert decide(situation) is RollbackPath.HOLD


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (errors.NotReady("x"), FailureKind.READINESS),
        (errors.RehearsalFailed("x"), FailureKind.REHEARSAL),
        (errors.StagingFailed("x"), FailureKind.STAGING),
        (errors.ContractFailed("x"), FailureKind.CONTRACT),
        (errors.MigrationFailed("x"), FailureKind.REVISION),
        (errors.ApplicationFailed("x"), FailureKind.APPLICATION),
        (errors.DataFailed("x"), FailureKind.DATA),
        (errors.SchemaFailed("x"), FailureKind.SCHEMA),
        (errors.ProcessDied("x"), FailureKind.PROCESS),
        (errors.CannotTell("x"), FailureKind.UNKNOWN),
        (RuntimeError("x"), FailureKind.UNKNOWN),
    ],
)
def test_what_failed_is_read_from_the_step_that_said_so(error: Exception, failed: FailureKind) -> None:
    assert failure_kind(error) is failed


@pytest.mark.parametrize(
    "situation", [replace(s, validates_earlier_release=True) for s in SEALED if s.failed is not FailureKind.REVISION]
)
def test_what_an_earlier_release_began_is_never_restored_without_a_person(situation: Situation) -> None:
    way = decide(situation)
    assert way in {RollbackPath.HOLD, RollbackPath.APPLICATION}
    if way is RollbackPath.APPLICATION:
        assert situation.failed is FailureKind.APPLICATION
        assert situation.compatible or not situation.applied
