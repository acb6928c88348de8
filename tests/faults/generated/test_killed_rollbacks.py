"""Rollbacks by hand, and recoveries, whose process is killed: the next recovery finishes them."""

import signal
from typing import Any

import pytest

from deployments.ledger import Release
from tasks import record
from tests.faults.generated.acts import MOMENTS, ROLLED_BACK
from tests.faults.generated.endings import conclude, hand_over
from tests.faults.generated.invariants import hold_invariants
from tests.faults.generated.target import Target
from tests.faults.report import Told
from tests.users_at_work import Users

pytestmark = pytest.mark.generated_fault


@pytest.fixture
def released(target: Target, users: Users) -> Release:
    """A release that succeeded, with the users who have written since."""
    return target.release_undisturbed()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("way", "act"), [(way, act) for way, acts in ROLLED_BACK.items() for act in acts])
def test_rollback_whose_process_was_killed_is_finished_by_recovery(
    way: str, act: str, moment: str, target: Target, users: Users, released: Release, told: Told
) -> None:
    given: dict[str, Any] = {"release_id": released.id, "way": way}
    killed = target.run("rollback", given, act=act, moment=moment, fault="kill")
    assert killed.code == -signal.SIGKILL, killed.said
    recovered = target.run("recover", {})
    assert recovered.code == 0, recovered.said
    row = target.newest()
    told(f"rollback --way {way}", act, moment, "SIGKILL", ending=row.state, since=killed.ended_at)
    assert (row.state, record.release_undone_by(row)) == ("rolled_back", released.id)
    hold_invariants(target, users, released)


@pytest.mark.parametrize(
    ("act", "moment"), [(act, MOMENTS[place % 3]) for place, act in enumerate(ROLLED_BACK["data"])]
)
def test_rollback_that_was_told_to_stop_ends_after_its_act_and_is_finished_by_recovery(
    act: str, moment: str, target: Target, users: Users, released: Release, told: Told
) -> None:
    hand_over("rollback", {"release_id": released.id, "way": "data"}, act, moment, target)
    since = target.struck_at
    ending = conclude(target, may_need_person=False)
    told("rollback --way data", act, moment, "SIGTERM", ending=ending, since=since)
    assert record.release_undone_by(target.newest()) == released.id
    hold_invariants(target, users, released)
