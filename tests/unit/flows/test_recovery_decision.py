"""How a release is finished whose process died, over every combination of what may have happened."""

import itertools
from dataclasses import replace

import pytest

from flows.decision import DeathSituation, FailureKind, Recovery, RollbackPath, Situation, decide, decide_recovery

BOTH = (False, True)
UNKNOWN = (False, True, None)
DEATHS = [
    DeathSituation(
        situation=Situation(
            failed=FailureKind.PROCESS,
            staging_touched=staging_touched,
            sealed=sealed,
            applied=applied,
            first_release=first_release,
            compatible=compatible,
            reversible=reversible,
            validates_earlier_release=earlier,
        ),
        began_path=began,
        serves=serves,
        verified=verified,
    )
    for staging_touched, sealed, first_release, compatible, reversible, earlier, verified in itertools.product(
        BOTH, repeat=7
    )
    for applied, serves in itertools.product(UNKNOWN, repeat=2)
    for began in (None, *RollbackPath)
]
FORWARD = {Recovery.GO_ON, Recovery.CLOSE}
MOVES_PRODUCTION = {RollbackPath.APPLICATION, RollbackPath.DOWNGRADE, RollbackPath.RESTORE}


def test_rollback_that_had_begun_is_finished_by_its_own_path() -> None:
    for death in DEATHS:
        if death.began_path is not None:
            assert decide_recovery(death) == (Recovery.FINISH_ROLLBACK, death.began_path)


@pytest.fixture(scope="module")
def releases() -> list[tuple[DeathSituation, Recovery, RollbackPath]]:
    return [(death, *decide_recovery(death)) for death in DEATHS if death.began_path is None]


def test_production_is_not_moved_before_its_restore_point_is_sealed(
    releases: list[tuple[DeathSituation, Recovery, RollbackPath]],
) -> None:
    for death, recovery, path in releases:
        if not death.situation.sealed:
            expected = RollbackPath.STAGING if death.situation.staging_touched else RollbackPath.NOTHING
            assert (recovery, path) == (Recovery.TAKE_BACK, expected)


def test_what_cannot_be_told_of_production_moves_nothing(
    releases: list[tuple[DeathSituation, Recovery, RollbackPath]],
) -> None:
    for death, recovery, path in releases:
        if death.situation.sealed and (death.serves is None or death.situation.applied is None):
            assert (recovery, path) == (Recovery.TAKE_BACK, RollbackPath.HOLD)


def test_release_goes_forward_exactly_where_its_build_serves(
    releases: list[tuple[DeathSituation, Recovery, RollbackPath]],
) -> None:
    for death, recovery, _ in releases:
        known = death.situation.sealed and death.situation.applied is not None
        assert (recovery in FORWARD) == (known and death.serves is True)


def test_release_is_closed_as_succeeded_only_where_everything_was_verified(
    releases: list[tuple[DeathSituation, Recovery, RollbackPath]],
) -> None:
    for death, recovery, _ in releases:
        if recovery is Recovery.CLOSE:
            assert death.verified
            assert death.serves


def test_schema_stays_under_the_previous_build_only_where_that_was_proven_to_work(
    releases: list[tuple[DeathSituation, Recovery, RollbackPath]],
) -> None:
    for death, recovery, path in releases:
        if recovery is Recovery.TAKE_BACK and path is RollbackPath.APPLICATION:
            assert death.situation.compatible
        if recovery is Recovery.TAKE_BACK and path is RollbackPath.DOWNGRADE:
            assert death.situation.reversible


def test_production_where_nothing_was_applied_and_the_previous_build_serves_is_only_looked_at(
    releases: list[tuple[DeathSituation, Recovery, RollbackPath]],
) -> None:
    for death, _, path in releases:
        if death.situation.sealed and death.situation.applied is False and death.serves is False:
            expected = RollbackPath.HOLD if death.situation.validates_earlier_release else RollbackPath.UNCHANGED
            assert path is expected


def test_first_release_and_the_validation_of_an_earlier_one_restore_nothing(
    releases: list[tuple[DeathSituation, Recovery, RollbackPath]],
) -> None:
    for death, _, path in releases:
        if death.situation.first_release and death.situation.sealed:
            assert path not in MOVES_PRODUCTION
        if death.situation.validates_earlier_release:
            assert path not in MOVES_PRODUCTION


def test_release_that_died_is_taken_back_as_one_that_failed_for_its_application() -> None:
    for death in DEATHS:
        failed = death.situation
        if failed.sealed and failed.applied and not failed.validates_earlier_release:
            application = replace(failed, failed=FailureKind.APPLICATION)
            assert decide(failed) == decide(application)
