"""One PostgreSQL server and one local platform for the whole session, one database a test."""

import gc
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from psycopg import sql

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, dsn, free_port, remove_data_root
from deployments.local.postgres.provisioning import Login, ProvisionedDatabase, provision
from deployments.local.supervisor.platform import status
from deployments.local.supervisor.running import RunningPlatform
from deployments.redaction.redactor import known
from tests.faults import report, selection

MEMORY = Path("/dev/shm")  # noqa: S108
ROOM_BYTES = 6 * 2**30
OLDEST_SERVER = Path("/usr/lib/postgresql/15/bin")


def pytest_configure(config: pytest.Config) -> None:
    """Let clusters lie in memory, where there is room: a disk takes minutes over files that come and go.

    The workers of a session inherit the place from the process that started them.
    """
    config.pluginmanager.register(selection)
    config.pluginmanager.register(report)
    if hasattr(config, "workerinput"):
        return
    if not MEMORY.is_dir():
        return
    for left in MEMORY.glob("pilotage-tests-*"):
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        place = MEMORY / f"pilotage-tests-{os.getpid()}"
        place.mkdir(mode=0o711)
        os.environ["PILOTAGE_DATA_HOME"] = str(place)


def pytest_collection_finish() -> None:
    """Spare the collector what stands for good: it would look at all modules again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the memory back."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(MEMORY / f"pilotage-tests-{os.getpid()}", ignore_errors=True)


@pytest.fixture(autouse=True)
def secrets_of_one_test() -> Iterator[None]:
    """Let no test mask what another one has called a secret."""
    with known.forgetting():
        yield


@pytest.fixture(scope="session")
def spawner() -> Spawner:
    return Spawner()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[Cluster]:
    """A running cluster, not durable, stopped and deleted at the end of the session."""
    state: Path = tmp_path_factory.mktemp("server")
    cluster = Cluster.create(data_root(state) / "session", spawner=spawner)
    cluster.start(free_port(), settings={"archive_mode": "off", "full_page_writes": "off"})
    # Roles are the server's: one that an owner made would be nobody's when that owner is gone.
    cluster.scalar("CREATE ROLE pilotage_service NOLOGIN")
    yield cluster
    cluster.stop("immediate")
    remove_data_root(state)


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[Cluster]:
    """A running cluster of the oldest version that is supported; without its binaries a test is skipped."""
    if not OLDEST_SERVER.is_dir():
        pytest.skip(f"there is no {OLDEST_SERVER}")
    state = tmp_path_factory.mktemp("oldest")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PG_BIN", str(OLDEST_SERVER))
        cluster = Cluster.create(data_root(state) / "oldest", spawner=spawner)
        cluster.start(free_port(), settings={"archive_mode": "off", "full_page_writes": "off"})
        environment.undo()
        yield cluster
        cluster.stop("immediate")
        remove_data_root(state)


@pytest.fixture(scope="session")
def grant_services(server: Cluster) -> Callable[[str], None]:
    """Give an owner what it would have if it had made the role of services itself."""

    def grant(owner: str) -> None:
        given = sql.SQL("GRANT pilotage_service TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
        with server.connect() as superuser:
            superuser.execute(given.format(sql.Identifier(owner)))

    return grant


@pytest.fixture
def database(server: Cluster, grant_services: Callable[[str], None]) -> Iterator[ProvisionedDatabase]:
    """A database of its own, with an owner that is no superuser and a role for the application."""
    name = f"test_{secrets.token_hex(4)}"
    owner = Login(f"{name}_owner", secrets.token_urlsafe(12))
    app = Login(f"{name}_app", secrets.token_urlsafe(12))
    with server.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=app)
    grant_services(owner.name)
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
