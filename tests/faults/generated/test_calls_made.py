"""The calls that faults are generated from are those that the flows make."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from deployments.call_budget import CallCounts
from tasks import record
from tests.faults.generated.calls import CALLS, made
from tests.faults.generated.target import RELEASE, Target
from tests.users_at_work import Users

OF_THE_APPLICATION = "rollback application"


def test_each_call_that_an_undisturbed_flow_makes_is_one_that_faults_are_generated_from(
    target: Target, users: Users, tmp_path: Path
) -> None:
    released = target.run("release", RELEASE, calls=str(tmp_path / "release"))
    assert "release succeeded" in released.said, released.said
    # What is asked for after its last act is its own until the next flow begins.
    seen = made(target.platform, "release", tmp_path / "release")
    given = {"release_id": target.newest().id, "way": "data"}
    returned = target.run("rollback", given, calls=str(tmp_path / "rollback"))
    assert "rolled back" in returned.said, returned.said
    seen |= made(target.platform, "rollback", tmp_path / "rollback")
    changes = {call for call in seen if call.changes}
    assert sorted(map(str, changes - set(CALLS))) == [], "add these lines to calls.txt"
    known = {call for call in CALLS if call.flow in {"release", "rollback"} and call.changes}
    assert sorted(map(str, known - seen)) == [], "take these lines out of calls.txt"
    # Which act reads what may change with every look at production: some act has to be struck in each of them.
    read = {(call.service, call.path) for call in CALLS if not call.changes}
    unknown = {call for call in seen if not call.changes and (call.service, call.path) not in read}
    assert sorted(map(str, unknown)) == [], "add these lines to calls.txt"
    for release_id in (str(given["release_id"]), target.newest().id):
        assert_within_budget(target, release_id)


@pytest.mark.generated_fault
def test_each_change_that_a_rollback_of_the_application_asks_for_is_one_that_faults_are_generated_from(
    target: Target, users: Users, tmp_path: Path
) -> None:
    given = {"release_id": target.release_undisturbed().id, "way": "application"}
    returned = target.run("rollback", given, calls=str(tmp_path / "rollback"))
    assert "rolled back" in returned.said, returned.said
    changes = {call for call in made(target.platform, OF_THE_APPLICATION, tmp_path / "rollback") if call.changes}
    known = {call for call in CALLS if call.flow == OF_THE_APPLICATION}
    assert sorted(map(str, changes)) == sorted(map(str, known))


def assert_within_budget(target: Target, release_id: str) -> None:
    """Hold what a flow has noted of its calls against their budget."""
    with target.ledger() as ledger:
        (noted,) = [one for one in ledger.steps(release_id) if one.step == record.CALLS]
    counts = TypeAdapter(dict[str, CallCounts]).validate_python(noted.details)
    assert set(counts) == {"Neon", "Vercel"}
    assert all(one.calls > 0 for one in counts.values())
    assert [service for service, one in counts.items() if not one.within_budget] == []
