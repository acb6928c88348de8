"""Releases end to end: real clusters, a real Prefect server, real HTTP; failures are commits."""

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prefect.testing.utilities import prefect_test_harness

from deployments.local.traffic import TrafficReport, run_traffic
from deployments.settings import Settings
from flows.cli import outcome
from flows.drift_check import DriftFound, drift_check
from flows.release import RolledBack, release
from flows.rollback import rollback
from migrations.catalog import difference
from tasks import connections, record
from tasks.values import ReleaseRequest

WATCH_S = 6


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def live(platform, prefect: None) -> Iterator[Settings]:
    """A platform with v1 live in production, released into an empty one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        release(ReleaseRequest(ref="v1", watch_seconds=5))
        yield connections.settings()


@contextmanager
def users(live: Settings, folder: Path) -> Generator[Future[TrafficReport]]:
    """Users at work while the block runs; it begins when all of them have written."""
    stop, file = threading.Event(), folder / "acknowledged.txt"
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(
            run_traffic, str(live.production_url), users=12, rate=60.0, seconds=180.0, acknowledged=file, stop=stop
        )
        try:
            while not running.done() and (not file.exists() or len(file.read_text().splitlines()) < 60):
                stop.wait(0.1)
            yield running
        finally:
            stop.set()


def told(live: Settings) -> list[str]:
    address = httpx.URL(live.slack_webhook_url.get_secret_value())
    return [str(m["text"]) for m in httpx.get(address.copy_with(path="/messages", query=None)).json()]


def newest(live: Settings) -> record.Release:
    with connections.ledger(live) as ledger:
        return ledger.releases(target=live.target, limit=1)[0]


def acknowledged(folder: Path) -> list[tuple[str, str]]:
    rows = (line.split() for line in (folder / "acknowledged.txt").read_text().splitlines())
    return [(at, written) for at, written in rows]


def failed_release(ref: str, **options: object) -> str:
    with pytest.raises(RolledBack) as caught:
        release(ReleaseRequest.model_validate({"ref": ref, "watch_seconds": WATCH_S, **options}))
    return str(caught.value)


def test_the_first_release_of_an_empty_production_succeeds_without_users(live: Settings) -> None:
    first = newest(live)
    assert first.state == "succeeded"
    assert outcome.look().revisions == ("20250122_1030",)
    assert any("v1" in text and "succeeded" in text for text in told(live))


def test_release_verifies_that_nothing_changed_when_a_revision_fails(live: Settings, tmp_path: Path) -> None:
    before = outcome.look()
    with users(live, tmp_path) as running:
        summary = failed_release("v2-bad-migration", reset_staging=True)
    after = outcome.look()
    assert summary.startswith("rolled back: the failed revision left nothing behind")
    assert difference(before.catalog, after.catalog) == () or after.revisions != before.revisions
    assert after.commit_sha == before.commit_sha
    assert running.result().errors == 0
    assert {written for _, written in acknowledged(tmp_path)} <= after.message_ids
    assert newest(live).state == "rolled_back"


def test_release_restores_production_when_validation_finds_corrupt_rows(live: Settings, tmp_path: Path) -> None:
    before = outcome.look()
    with users(live, tmp_path) as running:
        summary = failed_release("v2-corrupts", reset_staging=True)
    assert running.exception() is None
    after = outcome.look()
    point = record.restore_point(newest(live).id)
    assert point is not None
    sealed_at = point.seal.sealed_at.isoformat()
    assert summary.startswith("rolled back: production restored to the sealed point")
    assert difference(before.catalog, after.catalog) == ()
    assert after.commit_sha == before.commit_sha
    assert {written for at, written in acknowledged(tmp_path) if at < sealed_at} <= after.message_ids
    production = connections.production_branch(live)
    assert production.protected
    assert any(b.name.startswith("before-rollback-") for b in connections.neon(live).branches())
    assert any("v2-corrupts" in text and "was rolled back" in text for text in told(live))


def test_release_serves_the_previous_build_when_the_new_one_fails_under_traffic(live: Settings, tmp_path: Path) -> None:
    before = outcome.look()
    with users(live, tmp_path) as running:
        summary = failed_release("v2-crashes", reset_staging=True)
    assert running.result().errors > 0
    after = outcome.look()
    assert "the schema stays at 20251101_0900" in summary
    assert after.commit_sha == before.commit_sha
    assert after.revisions == ("20251101_0900",)
    assert {written for _, written in acknowledged(tmp_path)} <= after.message_ids


def test_release_succeeds_under_traffic_and_can_be_rolled_back_by_hand(live: Settings, tmp_path: Path) -> None:
    before = outcome.look()
    with users(live, tmp_path) as running:
        release(ReleaseRequest(ref="v2", watch_seconds=WATCH_S, reset_staging=True))
    report = running.result()
    assert (report.errors, report.failures) == (0, ())
    done = newest(live)
    assert done.state == "succeeded"
    assert outcome.look().commit_sha == done.commit_sha
    assert release(ReleaseRequest(ref="v2", watch_seconds=WATCH_S)).startswith("nothing to do")
    rollback(done.id, way="application", reason="a test")
    assert outcome.look().commit_sha == before.commit_sha


def test_a_release_without_users_is_undecided_and_moves_nothing(live: Settings) -> None:
    summary = failed_release("v2", reset_staging=True)
    assert summary.startswith("undecided:")
    assert newest(live).state == "undecided"
    assert outcome.look().commit_sha == newest(live).commit_sha


def test_drift_is_told_once_and_stops_a_release_with_its_name(live: Settings) -> None:
    dsn = connections.owner_dsn(live, connections.production_branch(live))
    alter(dsn, 'ALTER TABLE users ADD COLUMN "byHand" text')
    before = len(told(live))
    for _ in range(2):
        with pytest.raises(DriftFound, match="byHand"):
            drift_check("production")
    assert len(told(live)) == before + 1
    assert "byHand" in failed_release("v1")
    alter(dsn, 'ALTER TABLE users DROP COLUMN "byHand"')
    assert "no drift" in str(drift_check("production"))


def alter(dsn: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())
