"""Restores that meet trouble: what was done is recognised, nothing is lost, and every state leads on."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import psycopg
import pytest
from prefect import Task
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from deployments.errors import ServiceRefused
from deployments.ledger import Ledger, Release
from deployments.local.hosting.faults import Fault
from deployments.local.supervisor.running import RunningPlatform
from deployments.neon import restores
from deployments.settings import Settings
from deployments.vercel.client import Deployment
from flows import rollback as rollback_flow
from flows import rollback_paths
from flows.cli import app as cli
from flows.cli.console import demo_checks
from flows.release import release
from tasks import connections, protection, record
from tasks.errors import RollbackFailed
from tasks.steps import maintenance, production, restoration, status, validation
from tasks.values import ReleaseRequest


class LivePlatform:
    """A target with v1 in production.

    Args:
        platform: the platform that it runs on.
        settings: its settings.
    """

    def __init__(self, platform: RunningPlatform, settings: Settings) -> None:
        self.platform = platform
        self.settings = settings
        self.first_build = status.serving_deployment_id() or ""

    def newest(self) -> Release:
        """The newest release in the ledger."""
        with connections.ledger(self.settings) as ledger:
            return ledger.releases(target=self.settings.target, limit=1)[0]

    def branches(self) -> set[str]:
        """The names of all branches."""
        return {branch.name for branch in connections.neon(self.settings, in_release=False).branches()}


def called(task: Any, *given: Any, **named: Any) -> Any:
    """Call a task as the function that it is."""
    return task.fn(*given, **named)


@pytest.fixture(scope="module")
def live(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LivePlatform]:
    """A platform of its own, with v1 released into its empty production; there is no Prefect, and none is needed."""
    nowhere = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"})
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch, nowhere:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path_factory.mktemp("cache")))
        # How fast a machine is that runs tests says nothing of a release.
        patch.setenv("PILOTAGE_P95_LIMIT_MS", "10000")
        patch.setattr(Task, "__call__", called)
        patch.setattr(rollback_paths, "ROLLBACK_WATCH_S", 3.0)
        assert "release succeeded" in str(release.fn(ReleaseRequest(ref="v1", watch_seconds=5)))
        yield LivePlatform(platform, connections.settings())


class KilledError(BaseException):
    """The process is gone: nothing that handles errors sees it."""


@pytest.fixture(scope="module")
def new_build(live: LivePlatform) -> Deployment:
    """A build of v2, ready and not promoted."""
    with connections.ledger(live.settings) as ledger:
        row = opened(live, ledger, "v2")
        build = production.build_production.fn(row.id, connections.repository(live.settings).resolve("v2"))
        ledger.end_release(row.id, "failed", "a build for the tests")
    return build


@pytest.fixture(autouse=True)
def room(live: LivePlatform) -> Iterator[None]:
    """Leave nothing to the next test but its production: no kept state, no protection that was taken away."""
    yield
    live.platform.clear_faults()
    client, branch = connections.neon(live.settings, in_release=False), connections.production_branch(live.settings)
    client.restore(connections.staging_branch(live.settings).id, source_branch_id=branch.id)
    for prefixes in ("release-",), ("before-rollback-", "in-the-way"):
        for kept in client.branches():
            if kept.name.startswith(prefixes):
                client.delete_branch(kept.id)
    client.set_protected(branch.id, protected=True)
    vercel = connections.vercel(live.settings, in_release=False)
    vercel.rollback(live.first_build)
    vercel.set_config(live.settings.vercel_config_id, maintenance.KEY, value=False)
    with connections.ledger(live.settings) as ledger:
        if (left := ledger.running(live.settings.target)) is not None:
            ledger.end_release(left.id, "failed", "left by a test")


def opened(live: LivePlatform, ledger: Ledger, ref: str) -> Release:
    return ledger.begin_release(
        target=live.settings.target,
        ref=ref,
        commit_sha=connections.repository(live.settings).resolve(ref).sha,
        target_revision="20250122_1030",
        requested_by="a test",
        flow_run_id=None,
        lease_s=60,
    )


@pytest.fixture
def done(live: LivePlatform, new_build: Deployment) -> Release:
    """A release that has sealed its restore point and serves its build, with a row of a user's written since."""
    with connections.ledger(live.settings) as ledger:
        row = opened(live, ledger, "v2")
        found = status.survey.fn(
            connections.repository(live.settings).resolve("v1"), "20250122_1030", reset_staging=True
        )
        production.seal_restore_point.fn(row.id, "none", found)
        production.promote.fn(row.id, new_build, instead_of=found.serving_deployment_id)
        write(live, f"{row.id}@lost.example")
        return ledger.end_release(row.id, "undecided", "a test")


def write(live: LivePlatform, name: str) -> None:
    dsn = connections.owner_dsn(live.settings, connections.production_branch(live.settings))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute('INSERT INTO users (email, name, "updatedAt") VALUES (%s, %s, now())', (name, name))


def emails(live: LivePlatform) -> set[str]:
    dsn = connections.owner_dsn(live.settings, connections.production_branch(live.settings))
    with psycopg.connect(dsn) as connection:
        return {str(row[0]) for row in connection.execute("SELECT email FROM users")}


def receipt_of(live: LivePlatform, row: Release) -> list[tuple[str, str]]:
    """Table and change of every row in the receipt of a rollback."""
    file = live.settings.cache_folder / "receipts" / f"{row.id}.jsonl"
    return [(line["table"], line["change"]) for line in map(json.loads, file.read_text().splitlines())]


def back(done: Release) -> str:
    """Roll a release back by hand, with its rows; the summary."""
    return str(rollback_flow.rollback.fn(done.id, way="data", reason="a test").message)


def in_maintenance(live: LivePlatform) -> bool:
    return demo_checks.endpoints.health(connections.production_url(live.settings), bypass=None).maintenance


def abandon(live: LivePlatform, row: Release) -> None:
    with connections.ledger(live.settings) as ledger:
        assert isinstance(ledger, Ledger)
        if ledger.release(row.id).state == "running":
            ledger.end_release(row.id, "failed", "cut off by a test")


def kept(live: LivePlatform) -> set[str]:
    return {name for name in live.branches() if name.startswith("before-rollback-")}


def serves_v1(live: LivePlatform) -> bool:
    return demo_checks.read_production().commit_sha == connections.repository(live.settings).resolve("v1").sha


def no_slot(times: int = 9) -> Fault:
    body = {"code": "BRANCHES_PROTECTED_LIMIT_EXCEEDED", "message": "protected branches limit exceeded"}
    return Fault(method="PATCH", path="/branches/br-", status=422, body=json.dumps(body), times=times)


def let_through(method: str, path: str) -> Fault:
    return Fault(method=method, path=path, delay_s=0.01)


def killed(*_: object, **__: object) -> None:
    raise KilledError


def cut_off(live: LivePlatform, done: Release, monkeypatch: pytest.MonkeyPatch, place: ModuleType, act: str) -> None:
    """Let a rollback die as it comes to an act, and close what it left."""
    with monkeypatch.context() as patch:
        patch.setattr(place, act, killed)
        with pytest.raises(KilledError):
            back(done)
    abandon(live, live.newest())


def test_a_production_that_was_never_protected_stays_so_where_no_slot_is_free(
    live: LivePlatform, done: Release
) -> None:
    connections.neon(live.settings, in_release=False).set_protected(
        connections.production_branch(live.settings).id, protected=False
    )
    live.platform.fault("neon", no_slot())
    summary = back(done)
    assert summary.startswith("rolled back: production restored to the sealed point")
    assert "to mend" not in summary
    assert serves_v1(live)
    assert not connections.production_branch(live.settings).protected
    assert receipt_of(live, live.newest()) == [("users", "inserted")]
    assert not in_maintenance(live)


def test_protection_that_cannot_be_given_back_is_told_and_hides_nothing(live: LivePlatform, done: Release) -> None:
    # The first call lifts the protection; then somebody takes the slot before it is asked for again.
    live.platform.fault("neon", let_through("PATCH", "/branches/br-"))
    live.platform.fault("neon", no_slot())
    summary = back(done)
    assert summary.startswith("rolled back: production restored to the sealed point")
    assert "was protected before the restore and is not now" in summary
    assert live.newest().state == "rolled_back"
    again = f"unprotect another branch first; then `pilotage rollback {done.id} --way data` protects it again"
    assert again in live.newest().summary
    assert "was protected before the restore" in json.dumps(live.platform.slack_messages()[-1])
    assert receipt_of(live, live.newest()) == [("users", "inserted")]
    assert serves_v1(live)
    assert not in_maintenance(live)
    with connections.ledger(live.settings) as ledger:
        assert ledger.leftovers(live.newest().id).protection_lifted
    # Whoever asks again, once there is a slot, gives it back.
    live.platform.clear_faults()
    assert "had been restored to the sealed point" in back(done)
    assert connections.production_branch(live.settings).protected
    assert back(done).startswith("nothing to do")


@pytest.mark.parametrize(
    ("place", "act"),
    [
        (protection, "restore_protection"),
        (restoration, "roll_back_application"),
        (validation, "validate_database"),
        (restoration, "make_receipt"),
        (maintenance, "_wait_for"),
    ],
    ids=["protection", "application", "validation", "receipt", "maintenance"],
)
def test_a_rollback_cut_off_is_run_again_and_restores_nothing_twice(
    live: LivePlatform, done: Release, monkeypatch: pytest.MonkeyPatch, place: ModuleType, act: str
) -> None:
    cut_off(live, done, monkeypatch, place, act)
    restored = act != "_wait_for"
    assert kept(live) == ({f"before-rollback-{done.id}"} if restored else set())
    write(live, f"{done.id}@since.example")
    summary = back(done)
    assert ("had been restored to the sealed point" in summary) is restored
    assert kept(live) == {f"before-rollback-{done.id}"}
    assert (f"{done.id}@since.example" in emails(live)) is restored
    assert f"{done.id}@lost.example" not in emails(live)
    assert receipt_of(live, live.newest()) == [("users", "inserted")] * (1 if restored else 2)
    assert serves_v1(live)
    assert connections.production_branch(live.settings).protected
    assert not in_maintenance(live)


def test_a_restore_whose_reply_came_too_late_is_finished_where_the_plan_has_no_room(
    live: LivePlatform, done: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(live, done, monkeypatch, restoration, "roll_back_application")
    fill_roots(live)
    summary = back(done)
    assert "had been restored to the sealed point" in summary
    assert receipt_of(live, live.newest()) == [("users", "inserted")]
    assert serves_v1(live)
    assert not in_maintenance(live)


def fill_roots(live: LivePlatform) -> None:
    """Take what root branches the plan has left, as restores of others do."""
    client = connections.neon(live.settings, in_release=False)
    branch = connections.production_branch(live.settings)
    client.set_protected(branch.id, protected=False)
    point = psycopg.connect(connections.owner_dsn(live.settings, branch), autocommit=True)
    with point as connection:
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    while sum(one.parent_id is None for one in client.branches()) < live.settings.neon_root_branch_limit:
        name = f"in-the-way-{len(client.branches())}"
        client.restore(branch.id, source_branch_id=branch.id, source_lsn=row[0], preserve_under_name=name)
    client.set_protected(branch.id, protected=True)


def test_a_rollback_asked_for_twice_takes_nothing_that_was_written_since(live: LivePlatform, done: Release) -> None:
    back(done)
    write(live, f"{done.id}@since.example")
    rows = live.newest()
    assert back(done).startswith(f"nothing to do: {rows.id} has taken {done.id} back already")
    assert live.newest() == rows
    assert f"{done.id}@since.example" in emails(live)
    assert not in_maintenance(live)


def test_a_restore_whose_kept_state_somebody_deleted_is_known_by_the_ledger(live: LivePlatform, done: Release) -> None:
    back(done)
    client = connections.neon(live.settings, in_release=False)
    branch = connections.production_branch(live.settings)
    client.restore(connections.staging_branch(live.settings).id, source_branch_id=branch.id)
    for name in sorted(live.branches(), reverse=True):
        if name.startswith(("release-", "before-rollback-")):
            client.delete_branch(client.branch(name).id)
    point = record.restore_point(done.id)
    assert point is not None
    found = restoration.find_restore.fn(done.id, point)
    assert found is not None
    assert (found.kept_branch, found.before) == (f"before-rollback-{done.id}", True)


def test_a_restore_without_room_refuses_no_write_and_says_what_is_missing(live: LivePlatform, done: Release) -> None:
    fill_roots(live)
    with pytest.raises(RollbackFailed, match=r"root branches of 3.*branch delete in-the-way"):
        back(done)
    with connections.ledger(live.settings) as ledger:
        assert not [s for s in ledger.steps(live.newest().id) if s.step.startswith("maintenance mode")]
    assert not in_maintenance(live)
    assert not kept(live)


@pytest.fixture
def less_room_than_said(live: LivePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan without room for another root branch, of which the settings say that it has more."""
    monkeypatch.setenv("PILOTAGE_NEON_ROOT_BRANCH_LIMIT", "5")
    fill_roots(live)


def test_a_plan_with_less_room_than_the_settings_say_names_what_makes_room_and_that_leads_on(
    live: LivePlatform, less_room_than_said: None, done: Release
) -> None:
    with pytest.raises(
        RollbackFailed, match=r"root branches limit exceeded.*PILOTAGE_NEON_ROOT_BRANCH_LIMIT says, .* 5"
    ):
        back(done)
    assert not in_maintenance(live)
    advice = json.dumps(live.platform.slack_messages()[-1]).partition("What to do:")[2]
    first, then = re.findall(r"`pilotage ([^`]*)`", advice)[:2]
    assert "no release made it" in advice
    assert CliRunner().invoke(cli, first.split()).exit_code == 0
    assert then == f"rollback {done.id} --way data"
    assert back(done).startswith("rolled back: production restored to the sealed point")


def test_a_restore_that_neon_refuses_after_all_lets_writes_in_again(live: LivePlatform, done: Release) -> None:
    body = json.dumps({"code": "", "message": "the point is not in the history"})
    live.platform.fault("neon", Fault(method="POST", path="/restore$", status=422, body=body))
    with pytest.raises(RollbackFailed, match=r"the point is not in the history.*done before that: nothing was moved"):
        back(done)
    assert not in_maintenance(live)
    assert connections.production_branch(live.settings).protected
    assert f"pilotage rollback {done.id} --way data" in json.dumps(live.platform.slack_messages()[-1])


@pytest.mark.parametrize(
    ("effect", "times"), [(True, 1), (False, 1), (False, 9)], ids=["took effect", "failed once", "truly failed"]
)
def test_a_restore_that_is_told_failed_is_judged_by_what_stands(
    live: LivePlatform, done: Release, effect: bool, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "PAUSES_S", (0.1, 0.1))
    branch = connections.production_branch(live.settings)
    failed = {
        "id": "00000000-0000-4000-8000-000000000000",
        "action": "apply_config",
        "status": "failed",
        "branch_id": branch.id,
        "error": "the compute did not start",
    }
    body = json.dumps({"branch": json.loads(branch.model_dump_json()), "operations": [failed]})
    when: Any = "after" if effect else "before"
    live.platform.fault("neon", Fault(method="POST", path="/restore$", when=when, status=200, body=body, times=times))
    if times == 1:
        summary = back(done)
        assert summary.startswith("rolled back: production restored to the sealed point")
        assert receipt_of(live, live.newest()) == [("users", "inserted")]
        assert serves_v1(live)
    else:
        with pytest.raises(RollbackFailed, match=r"apply_config .* ended as failed.*nothing was moved; now production"):
            back(done)
        assert not kept(live)
        assert not serves_v1(live)
    assert connections.production_branch(live.settings).protected
    assert not in_maintenance(live)


def test_a_watch_that_cannot_be_done_hides_no_restore(
    live: LivePlatform, done: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ServiceRefused("Vercel", "GET /v1/logs", "401 Not authorized", status=401)

    monkeypatch.setattr(validation, "watch_production", refused)
    summary = back(done)
    assert summary.startswith("rolled back: production restored to the sealed point")
    assert "whether users are served well could not be told" in summary
    assert live.newest().state == "rolled_back"
    told = json.dumps(live.platform.slack_messages()[-1])
    assert f"before-rollback-{done.id}" in told
    assert "1 rows inserted" in told


def test_a_receipt_that_cannot_be_made_keeps_no_write_out_and_is_made_by_the_next_try(
    live: LivePlatform, done: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(restoration, "receipt", full)
        summary = back(done)
    assert "the receipt could not be made; the rows are on the branch" in summary
    assert "No space left on device" in summary
    assert f"What to do: `pilotage rollback {done.id} --way data` makes the receipt" in summary
    assert not in_maintenance(live)
    assert "had been restored" in back(done)
    assert receipt_of(live, live.newest()) == [("users", "inserted")]


def test_a_compute_that_is_not_deleted_takes_nothing_from_the_receipt(live: LivePlatform, done: Release) -> None:
    live.platform.fault("neon", Fault(method="DELETE", path="/endpoints/", status=500, body="{}", times=100))
    summary = back(done)
    assert receipt_of(live, live.newest()) == [("users", "inserted")]
    assert "the receipt could not be made" not in summary
    with connections.ledger(live.settings) as ledger:
        noted = [step.step for step in ledger.steps(live.newest().id) if step.event == "noted"]
    assert any("is not known to be deleted" in name for name in noted)
