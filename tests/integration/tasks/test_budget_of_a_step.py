"""A step that is tried again spends one budget on waiting for locks, and not one a try."""

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest

from deployments.git.repository import Commit
from deployments.ledger import Release
from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings
from tasks import connections
from tasks.errors import MigrationFailed
from tasks.steps import production

BUDGET_S = 4.0


@pytest.fixture(scope="module")
def settings(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A target whose production stands at the revision of v1."""
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PILOTAGE_MIGRATION_BUDGET_S", str(BUDGET_S))
        found = connections.settings()
        release, commit = opened(found, "v1")
        production.migrate_production.fn(release.id, commit, "20250122_1030")
        close(found, release)
        yield found


def opened(settings: Settings, ref: str) -> tuple[Release, Commit]:
    commit = connections.repository(settings).resolve(ref)
    with connections.ledger(settings) as ledger:
        release = ledger.begin_release(
            target=settings.target,
            ref=ref,
            commit_sha=commit.sha,
            target_revision="head",
            requested_by="a test",
            flow_run_id=None,
            lease_s=60,
        )
    return release, commit


def close(settings: Settings, release: Release) -> None:
    with connections.ledger(settings) as ledger:
        ledger.end_release(release.id, "failed", "a test")


@pytest.fixture
def release(settings: Settings) -> Iterator[tuple[Release, Commit]]:
    begun, commit = opened(settings, "v2")
    yield begun, commit
    close(settings, begun)


def dsn(settings: Settings) -> str:
    return connections.owner_dsn(settings, connections.production_branch(settings))


@contextmanager
def table_in_use(settings: Settings) -> Generator[None]:
    """Somebody holds the table of v2's revision, for as long as the block runs."""
    with psycopg.connect(dsn(settings)) as holder:
        holder.execute("LOCK TABLE audit_logs IN ACCESS SHARE MODE")
        yield


def end_session_once_it_waits(settings: Settings) -> None:
    """End the sessions of the migration after it has waited for a part of its budget, as a network that is cut does."""
    time.sleep(BUDGET_S / 2)
    with psycopg.connect(dsn(settings), autocommit=True) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'pilotage%' AND pid <> pg_backend_pid()"
        )


def test_a_try_after_a_cut_has_what_is_left_of_the_budget_and_is_the_last(
    settings: Settings, release: tuple[Release, Commit]
) -> None:
    def migrate() -> MigrationFailed:
        with pytest.raises(MigrationFailed) as caught:
            production.migrate_production.fn(release[0].id, release[1], "20251101_0900")
        return caught.value

    with table_in_use(settings):
        cutting = threading.Thread(target=end_session_once_it_waits, args=(settings,))
        cutting.start()
        cut = migrate()
        cutting.join()
        assert cut.transient
        spent = migrate()
    assert not spent.transient
    assert spent.in_the_way
    found = re.search(r"got no lock in ([\d.]+) s", str(spent))
    assert found is not None, str(spent)
    assert float(found[1]) < BUDGET_S


def test_the_step_of_another_release_has_all_of_it(settings: Settings, release: tuple[Release, Commit]) -> None:
    with table_in_use(settings), pytest.raises(MigrationFailed, match=f"got no lock in {BUDGET_S:g} s"):
        production.migrate_production.fn(release[0].id, release[1], "20251101_0900")
    assert production.migrate_production.fn(release[0].id, release[1], "20251101_0900") == ("20251101_0900",)
