"""A process that has lost its release changes nothing more at the services, whatever it was about to do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.ledger import LeaseLost, Ledger, Release
from deployments.local.hosting.faults import Fault
from deployments.local.supervisor.running import RunningPlatform
from deployments.neon.client import NeonClient
from deployments.vercel.client import VercelClient
from tasks import fencing
from tasks.acts import Act

NEW = "fenced-branch"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        yield opened


@pytest.fixture
def release(ledger: Ledger) -> Release:
    return ledger.begin_release(
        target="production",
        ref="v2",
        commit_sha="5d1c" * 10,
        target_revision="head",
        requested_by="ana",
        flow_run_id=None,
        lease_s=60,
    )


@pytest.fixture
def neon(faults: RunningPlatform) -> NeonClient:
    env = faults.env
    return NeonClient(
        env["NEON_API_URL"], SecretStr(env["NEON_API_KEY"]), env["NEON_PROJECT_ID"], fence=fencing.ActFence()
    )


@pytest.fixture
def vercel(faults: RunningPlatform) -> VercelClient:
    env = faults.env
    return VercelClient(
        env["VERCEL_API_URL"],
        SecretStr(env["VERCEL_TOKEN"]),
        env["VERCEL_TEAM_ID"],
        env["VERCEL_PROJECT_ID"],
        fence=fencing.ActFence(),
    )


Change = Callable[[NeonClient, VercelClient, str], object]

CHANGES: dict[str, Change] = {
    "create branch": lambda neon, _, main: neon.create_branch(NEW, parent_id=main, compute=False, expires_at=None),
    "restore": lambda neon, _, main: neon.restore(main, source_branch_id=main, source_lsn="0/1"),
    "protect": lambda neon, _, main: neon.set_protected(main, protected=False),
    "delete branch": lambda neon, _, main: neon.delete_branch(main),
    "snapshot": lambda neon, _, main: neon.create_snapshot(main, "fenced"),
    "delete snapshot": lambda neon, _, _main: neon.delete_snapshot("snap-1"),
    "set variable": lambda _, vercel, main: vercel.set_environment("FENCED", SecretStr(main), target="preview"),
    "build": lambda _, vercel, main: vercel.build("5d1c" * 10, "v2", target="preview", meta={"releaseId": main}),
    "promote": lambda _, vercel, _main: vercel.promote("dpl_1"),
    "roll back": lambda _, vercel, _main: vercel.rollback("dpl_1"),
    "maintenance": lambda _, vercel, _main: vercel.set_config("ecfg_1", "maintenance", value=True),
}
# The acts that make each change, as people know them: written twice, so that neither list is changed alone.
MADE_BY: dict[str, set[Act]] = {
    "create branch": {Act.SNAPSHOT, Act.REHEARSAL},
    "restore": {Act.RESET_STAGING, Act.ROLL_BACK_STAGING, Act.RESTORE},
    "protect": {Act.LIFT_PROTECTION, Act.RESTORE_PROTECTION},
    "delete branch": {
        Act.REHEARSAL,
        Act.DELETE_REHEARSAL_BRANCH,
        Act.DELETE_OLD_SNAPSHOT,
        Act.DELETE_SNAPSHOT,
        Act.DELETE_KEPT_STAGING,
    },
    "snapshot": set(),
    "delete snapshot": set(),
    "set variable": {Act.DEPLOY_STAGING, Act.BUILD_PRODUCTION},
    "build": {Act.DEPLOY_STAGING, Act.BUILD_PRODUCTION},
    "promote": {Act.PROMOTE},
    "roll back": {Act.ROLL_BACK_APPLICATION},
    "maintenance": {Act.MAINTENANCE_ON, Act.MAINTENANCE_OFF},
}


def changed(platform: RunningPlatform) -> int:
    return sum(one.method != "GET" for service in ("neon", "vercel") for one in platform.requests(service))


@pytest.mark.parametrize(("name", "act"), [(name, act) for name, acts in MADE_BY.items() for act in sorted(acts)])
def test_no_change_is_sent_by_a_process_whose_release_was_taken_over(
    name: str,
    act: Act,
    faults: RunningPlatform,
    neon: NeonClient,
    vercel: VercelClient,
    ledger: Ledger,
    release: Release,
) -> None:
    main = neon.branch("main").id
    ledger.renew_lease(release.id, -1)
    ledger.take_over(release.id, 60, flow_run_id=None)
    before = changed(faults)
    with (
        fencing.within(fencing.OpenAct(ledger, release.id, act, release.fence)),
        pytest.raises(LeaseLost, match="has taken it over"),
    ):
        CHANGES[name](neon, vercel, main)
    assert changed(faults) == before


@pytest.mark.parametrize("name", CHANGES)
def test_no_act_makes_another_acts_change(
    name: str, faults: RunningPlatform, neon: NeonClient, vercel: VercelClient, ledger: Ledger, release: Release
) -> None:
    main, before = neon.branch("main").id, changed(faults)
    for act in set(Act) - MADE_BY[name]:
        with (
            fencing.within(fencing.OpenAct(ledger, release.id, act, release.fence)),
            pytest.raises(fencing.ChangeOutsideAct, match=f"the act '{act.value}' makes no such change"),
        ):
            CHANGES[name](neon, vercel, main)
    assert changed(faults) == before


def test_no_change_is_sent_that_the_ledger_has_no_act_for(faults: RunningPlatform, neon: NeonClient) -> None:
    before = changed(faults)
    with pytest.raises(fencing.ChangeOutsideAct, match="was not sent: it belongs to no act"):
        neon.create_branch(NEW, parent_id=neon.branch("main").id, compute=False, expires_at=None)
    assert changed(faults) == before


def test_change_that_the_service_refused_is_not_repeated_by_who_lost_the_release_meanwhile(
    faults: RunningPlatform, neon: NeonClient, ledger: Ledger, release: Release
) -> None:
    main = neon.branch("main").id
    asked = list[str]()

    class Losing:
        """The release is taken over after the first request."""

        def check(self, change: str) -> None:
            fencing.ActFence().check(change)
            asked.append(change)
            ledger.renew_lease(release.id, -1)
            ledger.take_over(release.id, 60, flow_run_id=None)

    env = faults.env
    faults.fault("neon", Fault(method="POST", path="/branches", when="before", status=503))
    losing = NeonClient(
        env["NEON_API_URL"], SecretStr(env["NEON_API_KEY"]), env["NEON_PROJECT_ID"], fence=Losing(), poll_s=0.05
    )
    with (
        fencing.within(fencing.OpenAct(ledger, release.id, Act.SNAPSHOT, release.fence)),
        pytest.raises(LeaseLost, match="has taken it over"),
    ):
        losing.create_branch(NEW, parent_id=main, compute=False, expires_at=None)
    assert len(asked) == 1
    assert NEW not in {branch.name for branch in losing.branches()}
