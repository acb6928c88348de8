"""Releases whose process is killed or stopped: recovery finishes them by itself, and production is as it must be."""

import signal
import time

import pytest

from flows.cli.console import demo_checks
from tests.faults.generated.acts import MOMENTS, RELEASED
from tests.faults.generated.endings import conclude, hand_over
from tests.faults.generated.invariants import hold_invariants
from tests.faults.generated.target import RELEASE, Target
from tests.faults.report import Told
from tests.users_at_work import Users

pytestmark = pytest.mark.generated_fault


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("act", RELEASED)
def test_release_whose_process_was_killed_is_finished_by_recovery(
    act: str, moment: str, target: Target, users: Users, told: Told
) -> None:
    killed = target.run("release", RELEASE, act=act, moment=moment, fault="kill")
    assert killed.code == -signal.SIGKILL, killed.said
    row = target.newest()
    assert row.state == "running"
    recovered = target.run("recover", {})
    assert recovered.code == 0, recovered.said
    told("release", act, moment, "SIGKILL", ending=target.newest().state, since=killed.ended_at)
    again = target.run("recover", {})
    assert "nothing to recover" in again.said
    assert hold_invariants(target, users, row).id == row.id


@pytest.mark.parametrize(("act", "moment"), [(act, MOMENTS[place % 3]) for place, act in enumerate(RELEASED)])
def test_release_that_was_told_to_stop_ends_after_its_act_and_is_finished_by_recovery(
    act: str, moment: str, target: Target, users: Users, told: Told
) -> None:
    hand_over("release", RELEASE, act, moment, target)
    row, since = target.newest(), target.struck_at
    ending = conclude(target, may_need_person=False)
    told("release", act, moment, "SIGTERM", ending=ending, since=since)
    assert hold_invariants(target, users, row).id == row.id


@pytest.mark.parametrize("moment", ["before", "effect"])
@pytest.mark.parametrize("act", RELEASED)
def test_process_that_was_stopped_for_longer_than_its_lease_changes_and_tells_nothing_more(
    act: str, moment: str, target: Target, users: Users, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_LEASE_S", "5")
    stopped = target.start("release", RELEASE, act=act, moment=moment, fault="stop")
    try:
        stopped.wait_until_stopped()
        since = time.time()
        recovered = target.run("recover", {})
        assert recovered.code == 0, recovered.said
        told("release", act, moment, "SIGSTOP past the lease", ending=target.newest().state, since=since)
        row, heard = target.newest(), target.told()
        changes, production = target.changes(), demo_checks.read_production()
    finally:
        stopped.signal(signal.SIGCONT)
        said = stopped.wait().said
    assert "is no longer ours" in said
    after = demo_checks.read_production()
    assert (after.commit_sha, after.revisions) == (production.commit_sha, production.revisions)
    assert target.changes() == changes
    assert target.told() == heard
    assert target.newest() == row
    hold_invariants(target, users, row)
