"""A target with v1 in production for the generated faults of a session; each of them finds it as the first one did."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, free_port, remove_data_root
from deployments.local.supervisor.running import RunningPlatform
from tasks import connections
from tests.faults.report import Told
from tests.users_at_work import Users, users_at_work

pytest.register_assert_rewrite("tests.faults.generated.target", "tests.faults.generated.invariants")

from tests.faults.generated.target import LEDGER, Target  # noqa: E402


@pytest.fixture(scope="session")
def ledger_cluster(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[Cluster]:
    """A PostgreSQL server for the ledger alone."""
    state = tmp_path_factory.mktemp("ledger")
    cluster = Cluster.create(data_root(state) / "ledger", spawner=spawner)
    cluster.start(free_port(), settings={"archive_mode": "off", "full_page_writes": "off"})
    yield cluster
    cluster.stop("immediate")
    remove_data_root(state)


@pytest.fixture(scope="session")
def fresh_target(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]],
    ledger_cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Target]:
    """The target, with v1 released into its empty production."""
    with bring_up() as platform:
        environment = {
            **platform.env,
            "LEDGER_URL": ledger_cluster.superuser_dsn(LEDGER),
            "PILOTAGE_CACHE_FOLDER": str(tmp_path_factory.mktemp("cache")),
            # How fast a machine is that runs tests says nothing of a release.
            "PILOTAGE_P95_LIMIT_MS": "10000",
            "PILOTAGE_BLOCKING_BUDGET_MS": "10000",
            "PILOTAGE_MINIMUM_REQUESTS": "20",
            # No Prefect answers there, and none is needed.
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
        }
        folder = tmp_path_factory.mktemp("flows")
        # Only here: other tests of the session have variables of their own.
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            ledger_cluster.scalar(f"CREATE DATABASE {LEDGER}")
            target = Target(platform, connections.settings(), ledger_cluster, environment, folder)
            done = target.run("release", {"ref": "v1", "watch_seconds": 5})
            assert "release succeeded" in done.said, done.said
            target.remember()
        yield target


@pytest.fixture
def target(fresh_target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """The target as the session found it, with the variables of a worker; whatever a test does is undone."""
    for name, value in fresh_target.environment.items():
        monkeypatch.setenv(name, value)
    fresh_target.platform.clear_faults()
    fresh_target.heard = len(fresh_target.told())
    yield fresh_target
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in fresh_target.environment.items():
            patch.setenv(name, value)
        fresh_target.come_back()


@pytest.fixture
def users(target: Target, tmp_path: Path) -> Iterator[Users]:
    """Users who begin to work with the test; every write that one of them was told is done is in the file."""
    assert os.environ["PRODUCTION_URL"] == target.environment["PRODUCTION_URL"]
    with users_at_work(
        connections.production_url(target.settings), tmp_path / "acknowledged.txt", are_waited_for=False
    ) as working:
        yield working


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    """Takes what is to be told of a fault."""
    return Told(request.node)
