"""Releases end to end: real clusters, a real Prefect server, real HTTP; each test goes on where the last one ended."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest

from deployments.errors import RefNotFound
from deployments.git.repository import Commit
from deployments.ledger import Release, ReleaseRunning
from deployments.local.hosting.faults import Fault
from deployments.local.hosting.servers import HttpServer
from flows.cli.console import demo_checks
from flows.drift_check import DriftFound, drift_check
from flows.release import RolledBack
from flows.rollback import rollback
from migrations.catalog.contents import Catalog, difference
from tasks import builds, connections, gates, record, served_build
from tasks.steps import production
from tests.e2e.made_by_others import other_application, shared_variable

Working = Callable[[], AbstractContextManager[Any]]


def alter(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def releases(live: Any) -> tuple[Release, ...]:
    with connections.ledger(live.settings) as ledger:
        return ledger.releases(target=live.settings.target, limit=None)


def commit_of(live: Any, ref: str) -> Commit:
    return connections.repository(live.settings).resolve(ref)


def test_the_first_release_of_an_empty_production_succeeds_without_users(live: Any) -> None:
    assert live.newest().state == "succeeded"
    assert demo_checks.read_production().revisions == ("20250122_1030",)
    assert live.told() == ["Release of v1 succeeded"]


def test_what_cannot_start_is_a_clear_error_before_anything_is_touched(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = live.branches()
    with pytest.raises(RefNotFound, match=r"v9.*near ones: v"):
        live.release("v9")
    with pytest.raises(RolledBack, match="20990101_0000"):
        live.release("v2", target_revision="20990101_0000")
    with monkeypatch.context() as patch:
        patch.setenv("NEON_API_KEY", "napi_wrong")
        with pytest.raises(RolledBack, match="check NEON_API_KEY"):
            live.release("v2")
        patch.setenv("NEON_API_URL", "http://127.0.0.1:9/api/v2")
        with pytest.raises(RolledBack, match="check NEON_API_URL"):
            live.release("v2")
    with monkeypatch.context() as patch:
        production_s = builds.application_dsn(live.settings, "production").get_secret_value()
        patch.setenv("APP_STAGING_DATABASE_URL", production_s)
        with pytest.raises(RolledBack, match="APP_STAGING_DATABASE_URL is not used as staging's database"):
            live.release("v2")
    with shared_variable(live), pytest.raises(RolledBack, match="serves production and preview at once"):
        live.release("v2")
    with HttpServer("other", other_application()) as other, monkeypatch.context() as patch:
        patch.setenv("PRODUCTION_URL", other.url)
        patch.setattr(served_build, "SPREAD_S", 0.2)
        with pytest.raises(RolledBack, match=f"/api/version is answered by commit {'f' * 12}"):
            live.release("v2")
    assert live.branches() == before
    assert live.newest().state == "failed"


def test_what_is_released_is_released_again_to_record_the_grants_that_a_take_over_left_out(live: Any) -> None:
    whole: dict[str, Catalog] = {}
    with connections.ledger(live.settings) as ledger:
        for environment in ("production", "staging"):
            kept = ledger.recorded_catalog(live.settings.target, environment)
            assert kept is not None
            whole[environment] = Catalog.from_json(kept.catalog_json)
            old = Catalog.of(one for one in whole[environment].objects if not one.name.startswith("users to "))
            ledger.record_catalog(
                live.settings.target,
                environment,
                release_id=kept.release_id,
                revision=kept.revision,
                digest=old.digest,
                catalog_json=old.to_json(),
            )
    with pytest.raises(DriftFound, match="`pilotage release start`"):
        drift_check()
    assert live.release("v1") == "nothing to do: production serves v1 already"
    assert str(drift_check()) == "production: no drift; staging: no drift"
    with connections.ledger(live.settings) as ledger:
        for environment, catalog in whole.items():
            kept = ledger.recorded_catalog(live.settings.target, environment)
            assert kept is not None
            assert Catalog.from_json(kept.catalog_json) == catalog


def test_a_second_release_meanwhile_is_refused_with_the_name_of_the_first(live: Any) -> None:
    with connections.ledger(live.settings) as ledger:
        first = ledger.begin_release(
            target=live.settings.target,
            ref="v2",
            commit_sha="0" * 40,
            target_revision="head",
            requested_by="a test",
            flow_run_id=None,
            lease_s=60,
        )
        with pytest.raises(ReleaseRunning, match=first.id):
            live.release("v2")
        ledger.end_release(first.id, "failed", "a test")


def test_release_verifies_that_nothing_changed_when_a_revision_fails(live: Any, users: Working) -> None:
    before = demo_checks.read_production()
    with users() as at_work:
        summary = live.failed_release("v2-bad-migration", rehearse=False)
    after = demo_checks.read_production()
    assert summary.startswith(
        "rolled back: nothing was left behind, production is as it was; what failed: revision 2025"
    )
    assert difference(before.catalog, after.catalog) == ()
    assert (after.commit_sha, after.revisions) == (before.commit_sha, before.revisions)
    assert (at_work.report.errors, at_work.report.failures) == (0, ())
    assert {written for _, written in at_work.acknowledged} <= after.message_ids
    assert live.newest().state == "rolled_back"


def test_a_rehearsal_stops_a_revision_that_would_fail_on_production_s_rows(live: Any, users: Working) -> None:
    before = demo_checks.read_production()
    with users() as at_work:
        summary = live.failed_release("v2-bad-migration")
    after = demo_checks.read_production()
    assert summary.startswith(
        "failed: nothing was touched; what failed: on a branch of production: revision 20251101_1000"
    )
    assert (after.commit_sha, after.revisions, after.catalog) == (before.commit_sha, before.revisions, before.catalog)
    assert (at_work.report.errors, at_work.report.failures) == (0, ())
    assert not [name for name in live.branches() if name.startswith("rehearsal-")]
    with connections.ledger(live.settings) as ledger:
        release_id = live.newest().id
        assert "migrate staging" not in {step.step for step in ledger.steps(release_id)}
        assert ledger.leftovers(release_id).branches == ()
    assert f"release-{release_id}" not in live.branches()


def test_a_revision_that_fails_on_staging_never_reaches_production(live: Any) -> None:
    summary = live.failed_release("v2-bad-migration", reset_staging=True, rehearse=False)
    assert summary.startswith("rolled back: staging rolled back, production was not touched; what failed: ")
    with connections.ledger(live.settings) as ledger:
        steps = {step.step for step in ledger.steps(live.newest().id)}
    assert "migrate production" not in steps


def test_release_serves_the_previous_build_when_the_new_one_fails_under_traffic(live: Any, users: Working) -> None:
    before = demo_checks.read_production()
    with users() as at_work:
        summary = live.failed_release("v2-crashes")
    after = demo_checks.read_production()
    assert summary.startswith(
        "rolled back: application rolled back, the previous build serves again, the schema stays at 20251101_0900; what"
    )
    assert at_work.report.errors > 0
    assert (after.commit_sha, after.revisions) == (before.commit_sha, ("20251101_0900",))
    assert {written for _, written in at_work.acknowledged} <= after.message_ids


def test_release_succeeds_under_traffic_and_a_lost_reply_is_found_again(live: Any, users: Working) -> None:
    live.platform.fault("vercel", Fault(method="POST", path="/v13/deployments", when="after", cut=True))
    live.platform.fault("neon", Fault(method="POST", path="/branches$", when="after", cut=True))
    with users() as at_work:
        live.release("v2", reset_staging=True)
    assert (at_work.report.errors, at_work.report.failures) == (0, ())
    done = live.newest()
    assert done.state == "succeeded"
    assert demo_checks.read_production().commit_sha == done.commit_sha
    assert len([name for name in live.branches() if name == f"release-{done.id}"]) == 1


def test_a_rollback_by_hand_serves_the_previous_build_and_keeps_the_schema(live: Any) -> None:
    done = live.newest()
    summary = str(rollback(done.id, way="application", reason="a test"))
    assert summary.startswith("rolled back: application rolled back, the previous build serves again")
    assert demo_checks.read_production().commit_sha == commit_of(live, "v1").sha
    newest = live.newest().id
    again = str(rollback(done.id, way="application", reason="a test"))
    assert again.startswith(f"nothing to do: {newest} has taken {done.id} back already: rolled back: application")
    assert f"`pilotage rollback {done.id} --way data`" in again
    assert live.newest().id == newest
    undone = str(rollback(newest, way="application", reason="a test"))
    assert undone.startswith(f"rolled back: application rolled back, the build of {done.id} serves again")
    assert demo_checks.read_production().commit_sha == done.commit_sha
    assert live.told()[-2:] == ["Rollback of the rollback of v2 begins", "Rollback of v2 was rolled back"]
    assert str(drift_check("production")) == "production: no drift"
    rollback(done.id, way="application", reason="a test")
    assert demo_checks.read_production().commit_sha == commit_of(live, "v1").sha


def test_a_release_without_users_is_undecided_and_moves_nothing_back(live: Any) -> None:
    summary = live.failed_release("v2")
    assert summary.startswith("undecided: nothing was moved: production serves dpl_")
    assert live.newest().state == "undecided"
    assert demo_checks.read_production().commit_sha == commit_of(live, "v2").sha
    assert live.told()[-1] == "Release of v2 is held for a person"


def test_a_held_release_is_released_again_once_there_are_users(live: Any, users: Working) -> None:
    held = live.newest().id
    assert "no drift" in str(drift_check())
    with users():
        assert live.release("v2") == "release succeeded: v2 serves at 20251101_0900"
    with connections.ledger(live.settings) as ledger:
        assert "promote" not in {step.step for step in ledger.steps(live.newest().id)}
    assert gates.rollback_target(live.newest().id, "application").release.id == held


def test_a_release_of_what_serves_already_is_a_success_that_says_so_and_bars_no_rollback(live: Any) -> None:
    held = next(each for each in releases(live) if each.state == "undecided")
    assert live.release("v2") == "nothing to do: production serves v2 already"
    assert live.newest().state == "succeeded"
    assert gates.rollback_target(held.id, "application").nothing_to_do == ""
    live.release("v2", reset_staging=True)
    with connections.ledger(live.settings) as ledger:
        assert "reset staging" in {step.step for step in ledger.steps(live.newest().id)}


def test_a_build_that_somebody_else_let_serve_is_told_before_anything_moves_and_never_promoted_over(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vercel = connections.vercel(live.settings, in_release=False)
    ours = vercel.production_deployment()
    assert ours is not None
    first = next(point for point in map(record.restore_point, [each.id for each in releases(live)]) if point)
    assert first.serving_deployment_id is not None
    vercel.rollback(first.serving_deployment_id)
    before = len(live.told())
    for _ in range(2):
        with pytest.raises(DriftFound, match=f"serves {first.serving_deployment_id}.*and not {ours.id}.*somebody else"):
            drift_check("production")
    assert live.told()[before:] == ["Drift in production"]

    def moved(*_: object) -> None:
        vercel.rollback(ours.id)

    monkeypatch.setattr(production, "check_build", moved)
    summary = live.failed_release("v2", rehearse=False)
    assert f"production serves {ours.id}" in summary
    assert "was not promoted over it" in summary
    assert live.told()[before + 1] == "Release of v2 begins over something to know"
    serving = vercel.production_deployment()
    assert serving is not None
    assert serving.id == ours.id
    assert live.release("v2") == "nothing to do: production serves v2 already"
    assert str(drift_check("production")) == "production: no drift"


def test_a_commit_that_lacks_what_production_has_is_refused(live: Any) -> None:
    assert "unknown 20251101_0900: stands in the database" in live.failed_release("v1")


def test_drift_is_told_once_and_stops_a_release_with_its_name(live: Any) -> None:
    dsn = connections.owner_dsn(live.settings, connections.production_branch(live.settings))
    alter(dsn, 'ALTER TABLE users ADD COLUMN "byHand" text')
    before = len(live.told())
    for _ in range(2):
        with pytest.raises(DriftFound, match="byHand"):
            drift_check("production")
    assert live.told()[before:] == ["Drift in production"]
    assert "byHand" in live.failed_release("v2-crashes")
    alter(dsn, 'ALTER TABLE users DROP COLUMN "byHand"')
    assert "no drift" in str(drift_check("production"))
