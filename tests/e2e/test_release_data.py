"""A release that leaves rows wrong: production goes back to the sealed point, and nothing from before is lost."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from deployments.local.hosting.faults import Fault
from flows.cli.console import demo_checks
from migrations.catalog.contents import difference
from tasks import connections, record
from tasks.steps import rehearsal


def test_a_rehearsal_stops_a_release_that_would_leave_rows_wrong(
    live: Any, users: Callable[[], AbstractContextManager[Any]]
) -> None:
    before = demo_checks.read_production()
    with users():
        summary = live.failed_release("v2-corrupts")
    assert summary.startswith("failed: nothing was touched; what failed: the rehearsal stops the release: ")
    assert "conversation" in summary
    assert demo_checks.read_production().catalog == before.catalog
    evidence = rehearsal.evidence_of_release(live.newest().id)
    assert evidence is not None
    assert [one.revision for one in evidence.revisions] == ["20251101_0900", "20251106_0900"]
    assert evidence.compatible


def test_revisions_are_taken_back_where_compatibility_is_unknown_and_the_way_back_is_proven(
    live: Any, users: Callable[[], AbstractContextManager[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_statistics(*_: object) -> None:
        """A server that does not keep the statements that it was sent."""

    monkeypatch.setattr(rehearsal, "running_application", without_statistics)
    before = demo_checks.read_production()
    live.platform.fault("vercel", Fault(method="POST", path="/promote/", when="before", status=400))
    with users() as at_work:
        summary = live.failed_release("v2")
    after = demo_checks.read_production()
    assert at_work.report.errors == 0
    assert summary.startswith(
        "rolled back: application rolled back, the previous build serves again,"
        " the revisions were taken back without loss; what failed: "
    )
    assert (after.commit_sha, after.revisions) == (before.commit_sha, before.revisions)
    assert difference(before.catalog, after.catalog) == ()
    assert {written for _, written in at_work.acknowledged} <= after.message_ids
    assert not demo_checks.endpoints.health(connections.production_url(live.settings), bypass=None).maintenance


def test_release_restores_production_when_validation_finds_corrupt_rows(
    live: Any, users: Callable[[], AbstractContextManager[Any]]
) -> None:
    before = demo_checks.read_production()
    with users() as at_work:
        summary = live.failed_release("v2-corrupts", rehearse=False)
    after = demo_checks.read_production()
    done = live.newest()
    point = record.restore_point(done.id)
    assert point is not None
    kept = f"before-rollback-{done.id}"

    assert done.state == "rolled_back"
    assert done.summary == (
        f"rolled back: production restored to the sealed point {point.seal.lsn}, the previous build serves again, "
        f"the state before is kept as branch {kept}"
    )
    assert summary.startswith(f"{done.summary}; what failed: ")
    assert difference(before.catalog, after.catalog) == ()
    assert (after.commit_sha, after.revisions) == (before.commit_sha, before.revisions)
    assert {written for at, written in at_work.acknowledged if at < point.seal.sealed_at} <= after.message_ids
    assert {name for name in live.branches() if not name.startswith("release-")} == {"main", "staging", kept}
    assert connections.production_branch(live.settings).protected
    assert not demo_checks.endpoints.health(connections.production_url(live.settings), bypass=None).maintenance
    assert [text for text in live.told() if "v2-corrupts" in text][-2:] == [
        "Release of v2-corrupts failed",
        "Release of v2-corrupts was rolled back",
    ]
    assert at_work.report.refused > 0


def test_what_was_written_after_the_restore_point_stays_on_the_kept_branch_and_in_the_receipt(live: Any) -> None:
    done = live.newest()
    client = connections.neon(live.settings, in_release=False)
    kept = client.branch(f"before-rollback-{done.id}")
    with connections.ledger(live.settings) as ledger:
        receipt = [step for step in ledger.steps(done.id) if step.step == "receipt" and step.event == "done"]
    assert len(receipt) == 1
    assert receipt[0].details["updated"] or receipt[0].details["inserted"]
    assert client.endpoints(kept.id) == ()
