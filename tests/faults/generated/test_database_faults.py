"""Releases and rollbacks whose databases go away under them, or do not let them in: they end well all the same."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import pytest

from deployments.local.postgres.cluster import Cluster
from tasks.acts import Act
from tests.faults.generated.acts import RELEASED, ROLLED_BACK
from tests.faults.generated.database_faults import (
    BRIEFLY_S,
    LONGER_THAN_A_LEASE_S,
    LONGER_THAN_THE_TRIES_S,
    ledger_full,
    ledger_gone,
    ledger_locked,
    ledger_read_only,
    production_restarted,
    session_ended,
)
from tests.faults.generated.endings import conclude
from tests.faults.generated.invariants import hold_invariants
from tests.faults.generated.target import RELEASE, Target
from tests.faults.report import Told
from tests.users_at_work import Users

pytestmark = pytest.mark.generated_fault

Make = Callable[[Target, Cluster], AbstractContextManager[None]]
FAULTS: Mapping[str, Make] = {
    "session ended": lambda target, _: session_ended(target),
    "server restarted": lambda target, _: production_restarted(target),
    "ledger locked": lambda _, ledger: ledger_locked(ledger, BRIEFLY_S),
    "ledger gone": lambda _, ledger: ledger_gone(ledger, BRIEFLY_S),
    "ledger full": lambda _, ledger: ledger_full(ledger, BRIEFLY_S),
    "ledger read-only": lambda _, ledger: ledger_read_only(ledger, BRIEFLY_S),
    "ledger gone for longer than the lease": lambda _, ledger: ledger_gone(ledger, LONGER_THAN_A_LEASE_S),
}
OF_PRODUCTION = {
    Act.REHEARSAL,
    Act.RESTORE_POINT,
    Act.MIGRATE_PRODUCTION,
    Act.VALIDATE_DATABASE,
    Act.WATCH_PRODUCTION,
    Act.RECEIPT,
}
MOMENTS = ("before", "effect")


def generated(acts: tuple[Act, ...]) -> pytest.MarkDecorator:
    """Every fault in every act, its moments in turn; a session is ended where an act has one."""
    every = [
        (act, "before" if fault == "session ended" else MOMENTS[(number + place) % len(MOMENTS)], fault)
        for place, act in enumerate(acts)
        for number, fault in enumerate(FAULTS)
        if fault != "session ended" or act in OF_PRODUCTION
    ]
    return pytest.mark.parametrize(("act", "moment", "fault"), every)


@generated(RELEASED)
def test_release_whose_databases_fail_ends_well(
    act: str,
    moment: str,
    fault: str,
    target: Target,
    users: Users,
    told: Told,
    ledger_cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PILOTAGE_LEASE_S", "5")
    target.run_into("release", RELEASE, act, moment, lambda: FAULTS[fault](target, ledger_cluster))
    row, struck_at = target.newest(), target.struck_at
    told("release", act, moment, fault, ending=conclude(target, may_need_person=False), since=struck_at)
    hold_invariants(target, users, row, sent_again="ledger" in fault)


@generated(ROLLED_BACK["data"])
def test_rollback_whose_databases_fail_ends_well(
    act: str,
    moment: str,
    fault: str,
    target: Target,
    users: Users,
    told: Told,
    ledger_cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = target.release_undisturbed()
    monkeypatch.setenv("PILOTAGE_LEASE_S", "5")
    given = {"release_id": released.id, "way": "data"}
    target.run_into("rollback", given, act, moment, lambda: FAULTS[fault](target, ledger_cluster))
    struck_at = target.struck_at
    told("rollback", act, moment, fault, ending=conclude(target, may_need_person=False), since=struck_at)
    hold_invariants(target, users, released, sent_again="ledger" in fault)


# Where a release reads or changes production's database before it promotes.
MEETS_PRODUCTION = (
    (Act.MIGRATE_PRODUCTION, "before"),
    (Act.MIGRATE_PRODUCTION, "after"),
    (Act.BUILD_PRODUCTION, "effect"),
    (Act.CHECK_BUILD, "effect"),
)


@pytest.mark.parametrize(("act", "moment"), MEETS_PRODUCTION)
def test_release_waits_for_production_that_is_away_for_longer_than_its_steps_are_tried(
    act: str, moment: str, target: Target, users: Users, told: Told
) -> None:
    target.run_into(
        "release", RELEASE, act, moment, lambda: production_restarted(target, after_s=LONGER_THAN_THE_TRIES_S)
    )
    row, struck_at, heard = target.newest(), target.struck_at, target.told()[target.heard :]
    ending = conclude(target, may_need_person=False)
    told("release", act, moment, "server away for longer than the tries", ending=ending, since=struck_at)
    assert ending == "rolled_back"
    assert heard.count("Release of v2 waits for production") == 1
    hold_invariants(target, users, row)
