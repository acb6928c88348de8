"""One PostgreSQL server and one local platform for the whole session, one database a test."""

import secrets
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from psycopg import sql

from deployments.local.platform import status
from deployments.local.postgres import Cluster, data_root, dsn, free_port, remove_data_root
from deployments.local.processes import Spawner
from deployments.local.provision import Login, ProvisionedDatabase, provision
from deployments.local.running import RunningPlatform


@pytest.fixture(scope="session")
def spawner() -> Spawner:
    return Spawner()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[Cluster]:
    """A running cluster, not durable, stopped and deleted at the end of the session."""
    state: Path = tmp_path_factory.mktemp("server")
    cluster = Cluster.create(data_root(state) / "session", spawner=spawner)
    cluster.start(free_port(), settings={"archive_mode": "off", "full_page_writes": "off"})
    yield cluster
    cluster.stop("immediate")
    remove_data_root(state)


@pytest.fixture
def database(server: Cluster) -> Iterator[ProvisionedDatabase]:
    """A database of its own, with an owner that is no superuser and a role for the application."""
    name = f"test_{secrets.token_hex(4)}"
    owner = Login(f"{name}_owner", secrets.token_urlsafe(12))
    app = Login(f"{name}_app", secrets.token_urlsafe(12))
    with server.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=app)
    yield ProvisionedDatabase(
        name=name,
        owner=owner.name,
        app=app.name,
        owner_dsn=dsn(server.port, user=owner.name, password=owner.password, database=name),
        app_dsn=dsn(server.port, user=app.name, password=app.password, database=name),
        superuser_dsn=server.superuser_dsn(name),
    )
    with server.connect() as superuser:
        superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for role in (owner.name, app.name):
            superuser.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture(scope="session")
def bring_up(
    tmp_path_factory: pytest.TempPathFactory, spawner: Spawner
) -> Callable[[], AbstractContextManager[RunningPlatform]]:
    """Bring up a platform that ends with its `with`, or with this session in whatever way that ends."""

    @contextmanager
    def running() -> Generator[RunningPlatform]:
        state = tmp_path_factory.mktemp("platform")
        argv = [sys.executable, "-m", "deployments.local", "--state", state]
        supervisor = spawner.spawn(argv, stdout=None, death_signal=signal.SIGTERM)
        try:
            while (up := status(state)) is None:
                assert supervisor.poll() is None, (state / "logs" / "platform.log").read_text()
                time.sleep(0.05)
            assert up.pid == supervisor.pid
            yield RunningPlatform(state)
        finally:
            supervisor.terminate()
            assert supervisor.wait(60) == 0

    return running


@pytest.fixture(scope="session")
def platform(bring_up: Callable[[], AbstractContextManager[RunningPlatform]]) -> Iterator[RunningPlatform]:
    """The platform of this session. Tests must leave it as they found it."""
    with bring_up() as running:
        yield running


@pytest.fixture
def faults(platform: RunningPlatform) -> Iterator[RunningPlatform]:
    """The platform of the session, none of whose services spoils a call before or after the test."""
    platform.clear_faults()
    yield platform
    platform.clear_faults()
