"""What no event announces: the watchdog finds it, finishes what is safe to finish, and tells it once."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prefect import Task

from deployments.ledger import EndState, Release
from deployments.local.hosting.faults import Fault
from flows import watchdog as watching
from flows.watchdog import watchdog
from tasks import connections
from tasks.acts import Act
from tasks.errors import CannotTell, TaskError
from tasks.production_state import maintenance, protected
from tasks.steps import dead_runs
from tests.faults.generated.flow_process import called
from tests.faults.generated.target import RELEASE, Target
from tests.users_at_work import Users

DIED = "Release of v2: its process died"


@pytest.fixture
def run(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Runs the watchdog without Prefect, as every flow of these tests; a recovery has a process of its own."""

    def recover(release_id: str) -> str:
        done = target.run("recover", {"release_id": release_id})
        if done.code:
            raise TaskError(done.said.splitlines()[-1])
        return done.said.splitlines()[-1]

    monkeypatch.setenv("PILOTAGE_LEASE_S", "5")
    monkeypatch.setattr(Task, "__call__", called)
    monkeypatch.setattr(watching, "recover", recover)
    monkeypatch.setattr(dead_runs, "has_server", lambda: False)
    yield lambda: str(watchdog.fn())
    with target.ledger() as ledger:
        ledger.forget_facts(target.settings.target, "")


def news(target: Target) -> list[str]:
    """What Slack heard since the test began."""
    return target.told()[target.heard :]


def newest_row(target: Target) -> Release:
    """The newest row of the ledger, also where it is the watchdog's own."""
    with target.ledger() as ledger:
        return ledger.releases(target=target.settings.target, limit=1)[0]


def begin(target: Target) -> Release:
    """A release in the ledger that has done nothing yet."""
    with target.ledger() as ledger:
        return ledger.begin_release(
            target=target.settings.target,
            ref="v2",
            commit_sha="5d1c" * 10,
            target_revision="20251101_0900",
            requested_by="a test",
            flow_run_id=None,
            lease_s=60,
        )


def end(target: Target, release: Release, state: EndState = "undecided") -> None:
    with target.ledger() as ledger:
        ledger.end_release(release.id, state, "nobody knows")


def wait_for_lease(target: Target) -> None:
    """Wait until the newest release's lease has run out."""
    until = target.newest().lease_expires_at + timedelta(seconds=0.5)
    time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()))


def test_a_release_that_was_stopped_for_longer_than_its_lease_is_found_finished_and_told_once(
    target: Target, run: Callable[[], str]
) -> None:
    stopped = target.start("release", RELEASE, act="migrate production", moment="after", fault="stop")
    stopped.wait_until_stopped()
    assert "no dead run" in run()
    wait_for_lease(target)
    assert "died after `migrate production`: its recovery is started now" in run()
    assert target.newest().state in {"rolled_back", "failed"}
    assert "no dead run" in run()
    assert news(target).count(DIED) == 1
    assert "Recovery of v2 begins" in news(target)
    stopped.signal(signal.SIGKILL)


def test_a_recovery_that_failed_is_started_again_after_a_pause(
    target: Target, run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = target.run("release", RELEASE, act="migrate production", moment="before", fault="kill")
    assert killed.code == -signal.SIGKILL
    target.platform.fault("neon", Fault(status=401, times=1000))
    with pytest.raises(CannotTell, match="which branches belong to nobody cannot be told"):
        run()
    assert target.newest().state == "running"
    with pytest.raises(CannotTell, match="is started again after a pause"):
        run()
    target.platform.clear_faults()
    monkeypatch.setattr(dead_runs, "PAUSES", (timedelta(),) * 3)
    assert "its recovery is started now" in run()
    row = target.newest()
    assert row.state in {"rolled_back", "failed"}
    with target.ledger() as ledger:
        tries = [one.details["number"] for one in ledger.steps(row.id) if one.step == dead_runs.STARTED]
    assert tries == [1, 2]
    assert news(target).count(DIED) == 1
    assert news(target).count("Release of v2: recovery came to no end, and is tried again") == 1


def test_nothing_is_started_after_the_last_try_and_a_person_is_told_what_leads_on(
    target: Target, run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = begin(target)
    monkeypatch.setattr(dead_runs, "PAUSES", (timedelta(),))
    with target.ledger() as ledger:
        ledger.note(release.id, dead_runs.STARTED, {"number": 1})
        ledger.renew_lease(release.id, -1)
    for _ in range(2):
        assert "its recovery is not started again" in run()
    assert news(target) == ["Release of v2: recovery failed 1 times, a person is needed"]
    (message,) = target.platform.slack_messages()[target.heard :]
    assert f"`pilotage recover {release.id}`" in str(message)


def test_maintenance_mode_that_was_left_on_is_told_once_with_what_leads_on_and_stays_on(
    target: Target, run: Callable[[], str]
) -> None:
    headline = "Production refuses writes: maintenance mode is on, and no release is open"
    client = connections.vercel(target.settings, in_release=False)

    def switch(*, on: bool) -> None:
        client.set_config(target.settings.vercel_config_id, "maintenance", value=on)
        while maintenance(target.settings) is not on:
            time.sleep(0.1)

    switch(on=True)
    assert headline in run()
    run()
    assert news(target) == [headline]
    switch(on=False)
    run()
    release = begin(target)
    with target.ledger() as ledger, ledger.step(release.id, Act.MAINTENANCE_ON, {"maintenance": True}):
        switch(on=True)
    assert "no maintenance mode left on" in run()
    end(target, release)
    run()
    assert news(target) == [headline, headline]
    said = str(target.platform.slack_messages()[-1])
    assert release.id in said
    assert "`pilotage " in said
    assert maintenance(target.settings)


def test_a_protection_that_was_not_given_back_is_given_back_by_an_act_and_told(
    target: Target, run: Callable[[], str]
) -> None:
    production = connections.production_branch(target.settings)
    client = connections.neon(target.settings, in_release=False)
    release = begin(target)
    with target.ledger() as ledger:
        ledger.note(release.id, Act.LIFT_PROTECTION, {"branch_id": production.id, "protection_lifted": True})
    client.set_protected(production.id, protected=False)
    assert "no protection is lifted" in run()
    end(target, release)
    assert "production's branch protected again" in run()
    assert protected(target.settings)
    row = newest_row(target)
    assert (row.state, row.requested_by.startswith(dead_runs.WATCHDOG)) == ("succeeded", True)
    with target.ledger() as ledger:
        events = [one.event for one in ledger.steps(row.id) if one.step == Act.RESTORE_PROTECTION]
    assert events == ["begun", "done"]
    assert "no protection is lifted" in run()
    assert news(target) == ["Production's branch is protected again"]


def test_a_protection_that_cannot_be_given_back_is_told_and_not_tried_again(
    target: Target, run: Callable[[], str]
) -> None:
    production = connections.production_branch(target.settings)
    connections.neon(target.settings, in_release=False).set_protected(production.id, protected=False)
    release = begin(target)
    with target.ledger() as ledger:
        ledger.note(release.id, Act.LIFT_PROTECTION, {"branch_id": production.id, "protection_lifted": True})
    end(target, release)
    refused = Fault(method="PATCH", path="/branches/", status=422, body='{"code": "BRANCHES_PROTECTED_LIMIT_EXCEEDED"}')
    target.platform.fault("neon", refused)
    assert "could not be protected again" in run()
    row = newest_row(target)
    assert row.state == "failed"
    assert "no protection is lifted" in run()
    assert newest_row(target).id == row.id
    assert news(target) == ["Production's branch is unprotected"]
    connections.neon(target.settings, in_release=False).set_protected(production.id, protected=True)
    assert "no protection is lifted" in run()


def test_branches_of_releases_that_are_over_are_deleted_or_told_and_those_of_others_stay(
    target: Target, run: Callable[[], str]
) -> None:
    client = connections.neon(target.settings, in_release=False)
    production = connections.production_branch(target.settings)
    over = begin(target)
    end(target, over, "failed")
    live = begin(target)
    later = datetime.now(UTC) + timedelta(hours=2)
    names = (f"rehearsal-{over.id}", f"rehearsal-{live.id}", "rehearsal-5d1c-aa", "release-unknown", "dev-ana")
    for name in names:
        expires = later if name == "rehearsal-5d1c-aa" else None
        client.create_branch(name, parent_id=production.id, compute=False, expires_at=expires)
    for _ in range(2):
        assert "1 branches belong to nobody" in run()
    assert {branch.name for branch in client.branches()} >= {*names[1:]}
    assert names[0] not in {branch.name for branch in client.branches()}
    with target.ledger() as ledger:
        assert ledger.steps(over.id)[-1].details == {"branch_deleted": names[0]}
    assert news(target) == ["The branch release-unknown belongs to nobody"]


def test_what_slack_did_not_take_of_a_whole_release_is_in_the_ledger_and_told_later_in_order(
    target: Target, users: Users, run: Callable[[], str]
) -> None:
    target.platform.fault("slack", Fault(method="POST", path="/services/", status=500, times=1000))
    done = target.run("release", RELEASE)
    assert "Slack could not be told" in done.said
    row = target.newest()
    assert row.state == "succeeded", row.summary
    assert news(target) == []
    assert "messages wait for Slack, which does not take them" in run()
    with target.ledger() as ledger:
        kept = [one.text for one in ledger.untold(row.id)]
    assert kept[-1] == "Release of v2 succeeded"
    target.platform.clear_faults()
    assert "no message waits" in run()
    assert news(target) == kept
    run()
    assert news(target) == kept
    with target.ledger() as ledger:
        assert ledger.untold(row.id) == ()


def test_a_row_of_the_watchdog_whose_process_died_is_closed_by_the_next_run(
    target: Target, run: Callable[[], str]
) -> None:
    with target.ledger() as ledger:
        row = ledger.begin_release(
            target=target.settings.target,
            ref="v1",
            commit_sha="5d1c" * 10,
            target_revision="20251101_0900",
            requested_by=f"{dead_runs.WATCHDOG}a test",
            flow_run_id=None,
            lease_s=-1,
        )
    assert f"closed {row.id}, whose process died" in run()
    assert newest_row(target).state == "abandoned"
    assert news(target) == []
