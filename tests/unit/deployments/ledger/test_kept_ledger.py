"""A ledger that an earlier version wrote: this one reads all of it back, and writes what it read as it was.

`ledger_of_a_rollback.sql` is one: a release that a person kept, its rollback, and a release whose process died.
It is never written anew: whoever cannot read it any more cannot read the ledgers that are in use either.
"""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.ledger import Ledger, RecordedCatalog
from migrations.apply.blocking_monitor import BlockedSession
from migrations.apply.migrate import Applied
from migrations.catalog.contents import Catalog, CatalogObject
from migrations.checks.result import CheckResult
from migrations.errors import Session
from migrations.rehearsal.evidence import Evidence
from migrations.restore.restore_point import Seal
from tasks import connections, gates, protection, record, revisions, verdicts
from tasks.acts import Act
from tasks.production_state import ProductionState
from tasks.release_history import ReleaseHistory
from tasks.steps import rehearsal
from tasks.steps.report import affected_words, timeline
from tasks.steps.restoration import kept_branch_name
from tasks.values import RestorePoint, Subject, Verdict
from tests.integration.deployments.ledger.test_ledger_commands import SETTINGS

WRITTEN = Path(__file__).with_name("ledger_of_a_rollback.sql")
RELEASE, ROLLBACK, DEAD = "20261123-030405-5f0c", "20261123-040506-a1b2", "20261124-030405-c3d4"
PLAN = "9a" * 32
EVIDENCE = "1ee070ce7a1e82638b7835e238eaef62bcaa2531aa54be8e998750443f3a3eb1"
BEFORE = "5c93cf1aee27f2e823a869616cad891fc19fb0f4355ef768d4c4d017cc5c3ac3"
AFTER = "b5d2c3ba5a29bfce47417662231f3543aeee393608947045ab6320eccdde24e0"
CATALOG = Catalog.of(
    [
        CatalogObject("table", "orders", "TABLE orders OWNER shop_owner"),
        CatalogObject("column", "orders.id", "bigint NOT NULL"),
        CatalogObject("grant", "orders", "SELECT TO shop_app"),
    ]
)
BASELINE = (
    CheckResult("foreign keys", 0, "3 constraints"),
    CheckResult("row counts", None, "cannot tell", ("orders: too large",)),
)
POINT = RestorePoint(
    production_branch_id="br-production-1",
    snapshot_branch_id="br-snapshot-1",
    seal=Seal(
        lsn="0/1A2B3C8",
        snapshot="742:745:743",
        in_flight_xids=(743,),
        sealed_at=datetime(2026, 11, 23, 3, 4, 5, 250000, tzinfo=UTC),
        timeline=1,
        row_counts={"orders": 120, "audit.events": 3},
        estimated_counts={"events": 100000},
        attempts=2,
    ),
    catalog_digest=BEFORE,
    catalog_json=CATALOG.to_json(),
    revisions=("20251101_0900",),
    serving_deployment_id="dpl_before",
    baseline=BASELINE,
    target_revision="20251102_0900",
)


def at(second: int) -> datetime:
    return datetime(2026, 11, 23, 3, 4, second, 250000, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    file = tmp_path / "ledger.db"
    connection = sqlite3.connect(file)
    connection.executescript(WRITTEN.read_text())
    connection.close()
    url = f"sqlite:///{file}"
    for name, value in {**SETTINGS, "LEDGER_URL": url, "PILOTAGE_TARGET": "shop"}.items():
        monkeypatch.setenv(name, value)
    with Ledger.open(url) as opened:
        yield opened


def test_its_releases_are_read(ledger: Ledger) -> None:
    assert [(each.id, each.state, each.ref) for each in ledger.releases("shop")] == [
        (DEAD, "running", "v3"),
        (ROLLBACK, "rolled_back", "v2"),
        (RELEASE, "undecided", "v2"),
    ]
    kept = ledger.release(RELEASE)
    assert (kept.target, kept.commit_sha, kept.target_revision) == ("shop", "5d1c" * 10, "20251102_0900")
    assert (kept.requested_by, kept.holder) == ("flow run brave-fox", "worker-1:4711:1")
    assert kept.flow_run_id == "5f0c5d3a-0d0e-4b53-8a4e-0d3f6a1c9b11"
    assert kept.summary == "nothing was moved: production serves dpl_after"
    assert (kept.lease_expires_at, kept.started_at, kept.ended_at) == (at(11), at(12), at(13))
    running = ledger.running("shop")
    assert running is not None
    assert running.id == DEAD
    assert record.release_undone_by(ledger.release(ROLLBACK)) == RELEASE


def test_its_steps_are_read_and_told(ledger: Ledger) -> None:
    steps = ledger.steps(RELEASE)
    assert [(step.step, step.event) for step in steps if step.event != "begun"] == [
        ("plan", "done"),
        ("snapshot", "done"),
        ("rehearsal", "done"),
        ("migrate staging", "done"),
        ("restore point", "done"),
        ("migrate production", "done"),
        ("catalogue of production", "noted"),
        ("build production", "done"),
        ("promote", "done"),
        ("watch production", "done"),
        ("kept", "noted"),
    ]
    plan = next(step for step in steps if step.step == "plan" and step.event == "done")
    assert plan.details == {
        "digest": PLAN,
        "expand": ["20251102_0900"],
        "contract": [],
        "source": "recorded",
        "note": "",
        "hazards": [],
        "waived": ["20251102_0900: adding-not-null"],
    }
    assert ("promote", at(34), "1.00 s", "done") in timeline(steps)


def test_its_restore_point_is_read_and_would_be_written_alike(ledger: Ledger) -> None:
    read = record.restore_point(RELEASE)
    assert read == POINT
    assert Catalog.from_json(POINT.catalog_json) == CATALOG
    (kept,) = (step for step in ledger.steps(RELEASE) if (step.step, step.event) == ("restore point", "done"))
    assert json.loads(json.dumps(record.restore_point_json(POINT))) == kept.details


def test_its_evidence_is_read_and_would_be_written_alike(ledger: Ledger) -> None:
    text = ledger.evidence(EVIDENCE)
    evidence = rehearsal.evidence_of_release(RELEASE)
    assert evidence is not None
    assert evidence.to_json() == text
    assert evidence == Evidence.from_json(text or "")
    assert (evidence.digest, evidence.plan_digest, evidence.baseline) == (EVIDENCE, PLAN, BASELINE)
    assert not evidence.way_back.lossless
    assert not evidence.compatible
    (revision,) = evidence.revisions
    assert (revision.revision, revision.blocked_writes_ms) == ("20251102_0900", 125)


def test_its_catalogues_are_read_and_would_be_written_alike(ledger: Ledger) -> None:
    assert ledger.recorded_catalog("shop", "production") == RecordedCatalog(
        target="shop",
        environment="production",
        release_id=ROLLBACK,
        revision="20251101_0900",
        digest=BEFORE,
        catalog_json=CATALOG.to_json(),
        at=at(9),
    )
    released = ledger.recorded_catalog("shop", "production", revision="20251102_0900")
    assert released is not None
    assert Catalog.from_json(released.catalog_json).digest == AFTER
    first = ledger.catalog_before("shop", "production", RELEASE)
    assert first is not None
    assert (first.release_id, first.digest) == (None, CATALOG.digest)
    assert not ledger.announce_once("shop", "staging", "a" * 64)


def test_what_a_release_left_is_told_from_it(ledger: Ledger) -> None:
    left = ledger.leftovers(DEAD)
    assert [step.step for step in left.unfinished] == ["snapshot", "promote"]
    assert (left.branches, left.deployments) == ((f"release-{DEAD}",), ("dpl_open",))
    assert (left.maintenance, left.protection_lifted) == (False, False)
    done = ledger.leftovers(ROLLBACK)
    assert (done.unfinished, done.branches) == ((), (kept_branch_name(RELEASE),))
    assert (done.maintenance, done.protection_lifted) == (False, False)


def test_what_the_release_and_its_rollback_did_is_told_from_it(ledger: Ledger) -> None:
    assert gates.serving_build("dpl_after") == gates.ServingBuild(
        is_validated=False, release_id=RELEASE, point=POINT, contracted=False
    )
    assert not gates.serving_build("dpl_before").is_validated
    done = ReleaseHistory.read(ledger, "shop")
    kept, rollback = ledger.release(RELEASE), ledger.release(ROLLBACK)
    assert done.done(kept, "migrate production")
    assert done.done(kept, "promote")
    assert done.done(kept, Act.WATCH_PRODUCTION)
    assert done.kept(kept)
    assert done.was_validated("dpl_after")
    assert done.rollbacks(kept) == (rollback,)
    assert done.done(rollback, "restore production")
    assert done.done(rollback, "roll back application")
    assert done.done(rollback, Act.RECEIPT)
    assert done.kept_since(ledger.release(RELEASE)) == ()
    production = ProductionState(
        deployment_id="dpl_before", revisions=("20251101_0900",), maintenance=False, protected=True
    )
    failed = ledger.steps(RELEASE)
    assert affected_words(failed, [*failed, *ledger.steps(ROLLBACK)], production) == "21.0 s"


def test_acts_would_be_written_alike(ledger: Ledger) -> None:
    blocked = BlockedSession(4711, "shop_app", "shop", "SELECT id FROM orders WHERE id = 7", 60)
    ended = Session(4712, "shop_app", "psql", 61.5, "SELECT 1", None, "idle in transaction")
    applied = Applied("20251102_0900", "add a note to orders", 125, 2, True, 1500, (blocked,), (ended,))
    verdict = Verdict("users seen", Subject.APPLICATION, "cannot tell", "at least 10", None, "too thin")
    written = {(step.step, step.event): step.details for step in ledger.steps(RELEASE)}
    assert written["migrate production", "done"] == revisions.as_json((applied,))
    told = written["watch production", "done"]["verdicts"]
    assert isinstance(told, list)
    assert told[-1] == verdicts.as_json(verdict)
    assert protection.branch_to_protect_again(connections.settings()) is None
