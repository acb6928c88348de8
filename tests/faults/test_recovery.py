"""Releases and rollbacks whose process is killed: recovery finishes them by itself, and production is as it must be."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deployments.ledger import Ledger, Release
from deployments.local.supervisor.running import RunningPlatform
from deployments.local.traffic.figures import read_acknowledged
from deployments.local.traffic.run import run_traffic
from deployments.settings import Settings
from flows.cli.console import demo_checks
from migrations.catalog.contents import difference
from tasks import connections, record
from tasks.acts import Act

pytestmark = pytest.mark.generated_fault

REPOSITORY = Path(__file__).parents[2]
RELEASE = {"ref": "v2", "watch_seconds": 5, "reset_staging": True}


@dataclass
class Target:
    """A target with v1 in production, to which each test comes back.

    Attributes:
        platform: the platform that it runs on.
        settings: its settings.
        old: production with v1.
        lsn: where production's history stood then.
        first_build: the deployment that served then.
    """

    platform: RunningPlatform
    settings: Settings
    old: demo_checks.ProductionSnapshot | None
    lsn: str
    first_build: str

    def run(self, flow: str, given: dict[str, Any], **fault: str) -> subprocess.CompletedProcess[str]:
        """Run a flow in a process of its own to its end, or until the fault strikes."""
        asked = json.dumps({"flow": flow, "given": given, **fault})
        return subprocess.run(
            [sys.executable, "-m", "tests.faults.flow_process", asked],
            cwd=REPOSITORY,
            env={**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def start(self, flow: str, given: dict[str, Any], **fault: str) -> subprocess.Popen[str]:
        """Start a flow in a process of its own."""
        asked = json.dumps({"flow": flow, "given": given, **fault})
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.flow_process", asked],
            cwd=REPOSITORY,
            env={**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def changes(self) -> int:
        """How many changes the services were asked for so far."""
        return sum(one.method != "GET" for name in ("neon", "vercel") for one in self.platform.requests(name))

    def read_lsn(self) -> None:
        """Remember where production's history stands: after a restore it begins anew."""
        dsn = connections.owner_dsn(self.settings, connections.production_branch(self.settings))
        with psycopg.connect(dsn, autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
            assert row is not None
            self.lsn = str(row[0])

    def ledger(self) -> AbstractContextManager[Ledger]:
        """The ledger, open."""
        return connections.ledger(self.settings)

    def newest(self) -> Release:
        """The newest row of the ledger."""
        with self.ledger() as ledger:
            return ledger.releases(target=self.settings.target, limit=1)[0]


@pytest.fixture(scope="module")
def target(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PILOTAGE_P95_LIMIT_MS", "10000")
        patch.setenv("PILOTAGE_BLOCKING_BUDGET_MS", "10000")
        patch.setenv("PILOTAGE_MINIMUM_REQUESTS", "20")
        settings = connections.settings()
        found = Target(platform, settings, None, "", "")
        done = found.run("release", {"ref": "v1", "watch_seconds": 5})
        assert "release succeeded" in done.stdout, done.stderr
        serving = connections.vercel(settings).production_deployment()
        assert serving is not None
        found = Target(platform, settings, demo_checks.read_production(), "", serving.id)
        found.read_lsn()
        yield found


@pytest.fixture(autouse=True)
def came_back(target: Target) -> Iterator[None]:
    """Bring production and staging back to v1 after a test, and take away every branch that it left."""
    yield
    client = connections.neon(target.settings, in_release=False)
    vercel = connections.vercel(target.settings, in_release=False)
    production = connections.production_branch(target.settings)
    vercel.rollback(target.first_build)
    client.set_protected(production.id, protected=False)
    client.restore(
        production.id, source_branch_id=production.id, source_lsn=target.lsn, preserve_under_name="before-rollback-x"
    )
    client.set_protected(production.id, protected=True)
    target.read_lsn()
    client.restore(connections.staging_branch(target.settings).id, source_branch_id=production.id)
    for prefixes in ("release-", "rehearsal-"), ("before-rollback-",):
        for kept in client.branches():
            if kept.name.startswith(prefixes):
                client.delete_branch(kept.id)


@pytest.fixture
def users(target: Target, tmp_path: Path) -> Callable[[], AbstractContextManager[Path]]:
    """Users at work while a block runs; every write that one of them was told is done is in the file."""

    @contextmanager
    def working() -> Generator[Path]:
        stop, file = threading.Event(), tmp_path / "acknowledged.txt"
        with ThreadPoolExecutor(max_workers=1) as pool:
            running = pool.submit(
                run_traffic,
                connections.production_url(target.settings),
                users=12,
                rate=30.0,
                seconds=600.0,
                acknowledged=file,
                stop=stop,
            )
            try:
                while not running.done() and (not file.exists() or len(file.read_text().splitlines()) < 24):
                    stop.wait(0.1)
                yield file
            finally:
                stop.set()

    return working


def hold_invariants(target: Target, file: Path, row: Release) -> None:
    """Look at everything from outside: whatever struck, and however the release ended."""
    after = demo_checks.read_production()
    production = connections.production_branch(target.settings)
    release, old = row, target.old
    assert old is not None
    with target.ledger() as ledger:
        assert ledger.running(target.settings.target) is None
        steps = ledger.steps(release.id)
    assert release.state in {"succeeded", "rolled_back", "failed"}, release.summary
    if release.state == "succeeded":
        assert after.commit_sha != old.commit_sha
        assert after.revisions == ("20251101_0900",)
    else:
        assert after.commit_sha == old.commit_sha
        assert after.revisions in {old.revisions, ("20251101_0900",)}
        if after.revisions == old.revisions:
            assert difference(old.catalog, after.catalog) == ()
    health = demo_checks.endpoints.health(connections.production_url(target.settings), bypass=None)
    assert (health.healthy, health.maintenance) == (True, False)
    assert production.protected
    left = {branch.name for branch in connections.neon(target.settings).branches()}
    assert not [name for name in left if name.startswith("rehearsal-")]
    restored = any(step.step == "restore production" and step.event == "done" for step in steps)
    written = {one.id for one in read_acknowledged(file)}
    if not restored:
        assert written <= after.message_ids
    with psycopg.connect(connections.owner_dsn(target.settings, production)) as connection:
        sessions = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('pilotage migration', 'pilotage lock')"
        ).fetchone()
    assert sessions == (0,)


ACTS = (
    "plan",
    "snapshot",
    "rehearsal",
    "reset staging",
    "migrate staging",
    "deploy staging",
    Act.RESTORE_POINT,
    "migrate production",
    "build production",
    "check build",
    "promote",
    "validate database",
    "watch production",
)


@pytest.mark.parametrize("moment", ["before", "effect", "after"])
@pytest.mark.parametrize("act", ACTS)
def test_release_whose_process_was_killed_is_finished_by_recovery(
    act: str, moment: str, target: Target, users: Callable[[], AbstractContextManager[Path]]
) -> None:
    with users() as file:
        killed = target.run("release", RELEASE, act=act, moment=moment)
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
        row = target.newest()
        assert row.state == "running"
        recovered = target.run("recover", {})
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
        again = target.run("recover", {})
        assert "nothing to recover" in again.stdout, again.stdout + again.stderr
    hold_invariants(target, file, target.newest())
    assert target.newest().id == row.id


@pytest.mark.parametrize("moment", ["before", "effect"])
@pytest.mark.parametrize("act", ["snapshot", "migrate production", "build production", "promote", "watch production"])
def test_process_that_was_stopped_for_longer_than_its_lease_changes_and_tells_nothing_more(
    act: str,
    moment: str,
    target: Target,
    users: Callable[[], AbstractContextManager[Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PILOTAGE_LEASE_S", "5")
    with users() as file:
        stopped = target.start("release", RELEASE, act=act, moment=moment, fault="stop")
        try:
            _, status = os.waitpid(stopped.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status), stopped.communicate()[0]
            recovered = target.run("recover", {})
            assert recovered.returncode == 0, recovered.stdout + recovered.stderr
            row, told = target.newest(), target.platform.slack_messages()
            changes, production = target.changes(), demo_checks.read_production()
        finally:
            stopped.send_signal(signal.SIGCONT)
            said = stopped.communicate(timeout=300)[0]
    assert "is no longer ours" in said
    after = demo_checks.read_production()
    assert (after.commit_sha, after.revisions) == (production.commit_sha, production.revisions)
    assert target.changes() == changes
    assert target.platform.slack_messages() == told
    assert target.newest() == row
    hold_invariants(target, file, row)


KEEPS_SCHEMA = ("roll back application", "validate database", "watch production")
RESTORES = (
    "maintenance mode on",
    "restore production",
    "protection set",
    "roll back application",
    "validate database",
    "receipt",
    "maintenance mode off",
    "watch production",
)


@pytest.mark.parametrize("moment", ["before", "effect"])
@pytest.mark.parametrize(
    ("way", "act"), [*(("application", act) for act in KEEPS_SCHEMA), *(("data", act) for act in RESTORES)]
)
def test_rollback_whose_process_was_killed_is_finished_by_recovery(
    way: str, act: str, moment: str, target: Target, users: Callable[[], AbstractContextManager[Path]]
) -> None:
    with users() as file:
        released = target.run("release", RELEASE)
        assert "release succeeded" in released.stdout, released.stdout + released.stderr
        undone = target.newest()
        killed = target.run("rollback", {"release_id": undone.id, "way": way}, act=act, moment=moment)
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
        recovered = target.run("recover", {})
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    row = target.newest()
    assert (row.state, record.release_undone_by(row)) == ("rolled_back", undone.id)
    hold_invariants(target, file, row)
    if way == "data":
        hold_receipt(target, file, row, undone)


def hold_receipt(target: Target, file: Path, row: Release, undone: Release) -> None:
    """Every write that was acknowledged is in production, or on the receipt; none in both."""
    with target.ledger() as ledger:
        made = [one for one in ledger.steps(row.id) if one.step == "receipt" and one.event == "done"]
    lines = [json.loads(line) for line in Path(str(made[-1].details["file"])).read_text().splitlines()]
    taken = {str(value) for line in lines if line["table"] == "messages" for value in line["key"].values()}
    stands = demo_checks.read_production().message_ids
    written = {one.id for one in read_acknowledged(file)}
    assert taken, f"nothing was written between {undone.started_at} and the restore"
    assert written <= stands | taken
    assert not written & stands & taken
