"""One request that had passed its check when its process was stopped is sent late: it is refused, harmless, or noticed.

These are the holes that `docs/guarantees.md` lists.
"""

import signal
import time
from collections.abc import Callable

import pytest
from prefect import Task

from flows.cli.console import demo_checks
from flows.watchdog import watchdog
from tasks import connections
from tasks.acts import RULES, Act
from tasks.steps.status import find_moved_by_hand
from tests.faults.generated.acts import RELEASED, ROLLED_BACK
from tests.faults.generated.flow_process import called
from tests.faults.generated.invariants import hold_invariants
from tests.faults.generated.target import RELEASE, FlowProcess, Target
from tests.faults.report import Told
from tests.users_at_work import Users

pytestmark = pytest.mark.generated_fault


def sends(acts: tuple[Act, ...]) -> list[Act]:
    """Those of some acts that ask a service for a change, and whose first one is not an old branch's end."""
    return [act for act in acts if RULES[act].sends]


def send_late(stopped: FlowProcess, target: Target) -> str:
    """Recover what a stopped process holds, then let it wake up; what it said."""
    try:
        stopped.wait_until_stopped()
        recovered = target.run("recover", {})
        assert recovered.code == 0, recovered.said
    finally:
        stopped.signal(signal.SIGCONT)
        said = stopped.wait().said
    assert "is no longer ours" in said
    return said


def moved_by_hand(target: Target) -> bool:
    """Whether the drift check, and the next release, say that somebody else has moved production's address."""
    return bool(find_moved_by_hand(target.settings, connections.vercel(target.settings).production_deployment()))


def promoted(target: Target, release_id: str) -> str:
    """The deployment that a release was about to promote."""
    with target.ledger() as ledger:
        begun = next(one for one in ledger.steps(release_id) if one.step == Act.PROMOTE)
    return str(begun.details["deployment"])


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Runs the watchdog without Prefect."""
    monkeypatch.setattr(Task, "__call__", called)
    return lambda: str(watchdog.fn())


@pytest.mark.parametrize("act", sends(RELEASED))
def test_late_request_of_a_release_is_noticed_where_it_does_anything(
    act: Act, target: Target, users: Users, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_LEASE_S", "5")
    stopped = target.start("release", RELEASE, act=act, moment="checked", fault="stop")
    since = time.time()
    send_late(stopped, target)
    row = target.newest()
    told("release", act, "checked", "SIGSTOP past the lease", ending=row.state, since=since)
    serving = connections.vercel(target.settings, in_release=False).production_deployment()
    assert serving is not None
    if act is Act.PROMOTE:
        client = connections.vercel(target.settings, in_release=False)
        if serving.id == target.first_build:
            # The connection had been closed meanwhile, and the late request went nowhere: it is sent for it.
            client.promote(promoted(target, row.id))
        assert moved_by_hand(target)
        client.rollback(target.first_build)
    assert not moved_by_hand(target)
    for branch in connections.neon(target.settings).branches():
        if branch.name == f"rehearsal-{row.id}" or branch.name == f"release-{row.id}":
            assert branch.expires_at is not None
            connections.neon(target.settings, in_release=False).delete_branch(branch.id)
    hold_invariants(target, users, row)


@pytest.mark.parametrize("act", sends(ROLLED_BACK["data"]))
def test_late_request_of_a_rollback_is_noticed_where_it_does_anything(
    act: Act,
    target: Target,
    users: Users,
    told: Told,
    watch: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undone = target.release_undisturbed()
    monkeypatch.setenv("PILOTAGE_LEASE_S", "5")
    given = {"release_id": undone.id, "way": "data"}
    stopped = target.start("rollback", given, act=act, moment="checked", fault="stop")
    since = time.time()
    send_late(stopped, target)
    row, before = target.newest(), demo_checks.read_production()
    told("rollback", act, "checked", "SIGSTOP past the lease", ending=row.state, since=since)
    if act is Act.MAINTENANCE_ON:
        assert "maintenance mode is on" in watch()
        connections.vercel(target.settings, in_release=False).set_config(
            target.settings.vercel_config_id, "maintenance", value=False
        )
    if act is Act.LIFT_PROTECTION:
        assert "Production's branch is unprotected" in watch()
        production = connections.production_branch(target.settings)
        connections.neon(target.settings, in_release=False).set_protected(production.id, protected=True)
        assert "no protection is lifted" in watch()
    assert not moved_by_hand(target)
    assert demo_checks.read_production().revisions == before.revisions
    hold_invariants(target, users, row)
