"""Recoveries whose process is killed as well: the next one goes on, and the end is the same."""

import signal

import pytest

from tasks.acts import Act
from tests.faults.generated.acts import FINISHED, MOMENTS, RECOVERED
from tests.faults.generated.endings import conclude
from tests.faults.generated.invariants import hold_invariants
from tests.faults.generated.target import RELEASE, Target
from tests.faults.report import Told
from tests.users_at_work import Users

pytestmark = pytest.mark.generated_fault


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("died_in", "died_at", "act"), [(*died, act) for died, acts in RECOVERED.items() for act in acts]
)
def test_recovery_of_a_release_that_was_killed_is_finished_by_the_next_one(
    died_in: str, died_at: str, act: str, moment: str, target: Target, users: Users, told: Told
) -> None:
    # Without a rehearsal nothing is proven of the schema: production is restored where the build does not serve.
    given = {**RELEASE, "rehearse": False}
    assert target.run("release", given, act=died_in, moment=died_at, fault="kill").code == -signal.SIGKILL
    row = target.newest()
    killed = target.run("recover", {}, act=act, moment=moment, fault="kill")
    assert killed.code == -signal.SIGKILL, killed.said
    ending = conclude(target, may_need_person=False)
    told(f"recover from {died_in}", act, moment, "SIGKILL", ending=ending, since=killed.ended_at)
    assert hold_invariants(target, users, row).id == row.id


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("act", FINISHED)
def test_recovery_of_a_rollback_that_was_killed_is_finished_by_the_next_one(
    act: str, moment: str, target: Target, users: Users, told: Told
) -> None:
    released = target.release_undisturbed()
    given = {"release_id": released.id, "way": "data"}
    died = target.run("rollback", given, act=Act.RESTORE, moment="effect", fault="kill")
    assert died.code == -signal.SIGKILL, died.said
    killed = target.run("recover", {}, act=act, moment=moment, fault="kill")
    assert killed.code == -signal.SIGKILL, killed.said
    ending = conclude(target, may_need_person=False)
    told("recover from rollback", act, moment, "SIGKILL", ending=ending, since=killed.ended_at)
    assert hold_invariants(target, users, released).state == "rolled_back"
