"""A PostgreSQL server to build throwaway databases on, so that a command needs nothing configured."""

import secrets
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deployments.local.errors import LocalPlatformError
from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, dsn, free_port, remove_data_root
from deployments.local.postgres.provisioning import Login, provision
from flows.cli.console import variables
from flows.cli.console.command_errors import CommandFailed
from flows.cli.console.database import owner_dsn
from migrations.disclosure.sentences import clause

DATABASE = "pilotage"


@contextmanager
def throwaway_server() -> Generator[str]:
    """Start a cluster of its own, and stop and delete it afterwards.

    Yields:
        Direct connection string of a role that is no superuser, and may create databases and roles.

    Raises:
        CommandFailed: this machine has no PostgreSQL that could be started.
    """
    with _cluster() as cluster:
        yield _owner_of_a_database(cluster)


@contextmanager
def server_for_throwaways(database_url: str | None) -> Generator[str]:
    """The server to build throwaway databases on: the one given, else DATABASE_URL's, else one made for it.

    Args:
        database_url: direct connection string of a role that may create databases; its own database is not touched.

    Yields:
        The connection string.
    """
    if database_url or variables.find_variable("DATABASE_URL"):
        yield owner_dsn("development", database_url)
        return
    with throwaway_server() as started:
        yield started


@contextmanager
def _cluster() -> Generator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="pilotage-") as state, ExitStack() as ends:
        folder = Path(state)
        try:
            ends.callback(remove_data_root, folder)
            cluster = Cluster.create(data_root(folder) / "throwaway", spawner=Spawner())
            ends.callback(cluster.stop, "immediate")
            cluster.start(free_port(), settings={"archive_mode": "off", "full_page_writes": "off"})
        except LocalPlatformError as error:
            raise CommandFailed(
                f"no server for throwaway databases: {clause(str(error))}; or name one (--database-url)"
            ) from error
        yield cluster


def _owner_of_a_database(cluster: Cluster) -> str:
    owner = Login("owner", secrets.token_urlsafe(12))
    with cluster.connect() as superuser:
        provision(superuser, database=DATABASE, owner=owner, app=Login("app", secrets.token_urlsafe(12)))
    return dsn(cluster.port, user=owner.name, password=owner.password, database=DATABASE)
