"""Releases, rollbacks and recoveries one of whose calls goes wrong: they end by themselves, or recovery ends them."""

import pytest

from tests.faults.generated.calls import Call
from tests.faults.generated.endings import end_well
from tests.faults.generated.spoiled_answers import Spoiled, spoiled
from tests.faults.generated.target import RELEASE, Target
from tests.faults.report import Told
from tests.users_at_work import Users

pytestmark = pytest.mark.generated_fault


def generated(flow: str) -> pytest.MarkDecorator:
    faults = list(spoiled(flow))
    names = [
        f"{one.act or 'start'}-{one.moment}-{one.method} {one.path.rpartition('*')[2] or one.path}-{kind.name}"
        for one, kind in faults
    ]
    return pytest.mark.parametrize(("call", "kind"), faults, ids=names)


@generated("release")
def test_release_with_a_spoiled_call_ends_well(
    call: Call, kind: Spoiled, target: Target, users: Users, told: Told
) -> None:
    end_well(target, users, told, "release", RELEASE, call, kind)


@generated("rollback")
def test_rollback_with_a_spoiled_call_ends_well(
    call: Call, kind: Spoiled, target: Target, users: Users, told: Told
) -> None:
    released = target.release_undisturbed()
    end_well(target, users, told, "rollback", {"release_id": released.id, "way": "data"}, call, kind, first=released)


@generated("rollback application")
def test_rollback_of_the_application_with_a_spoiled_call_ends_well(
    call: Call, kind: Spoiled, target: Target, users: Users, told: Told
) -> None:
    released = target.release_undisturbed()
    given = {"release_id": released.id, "way": "application"}
    end_well(target, users, told, "rollback", given, call, kind, first=released)


@generated("recover release")
def test_recovery_of_a_release_with_a_spoiled_call_ends_well(
    call: Call, kind: Spoiled, target: Target, users: Users, told: Told
) -> None:
    target.run("release", {**RELEASE, "rehearse": False}, act="promote", moment="effect", fault="kill")
    end_well(target, users, told, "recover", {}, call, kind, first=target.newest())


@generated("recover rollback")
def test_recovery_of_a_rollback_with_a_spoiled_call_ends_well(
    call: Call, kind: Spoiled, target: Target, users: Users, told: Told
) -> None:
    released = target.release_undisturbed()
    given = {"release_id": released.id, "way": "data"}
    target.run("rollback", given, act="restore production", moment="effect", fault="kill")
    end_well(target, users, told, "recover", {}, call, kind, first=released)
