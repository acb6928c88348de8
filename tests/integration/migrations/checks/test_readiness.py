"""What a database tells of itself and of the roles that a release uses."""

import psycopg
import pytest
from psycopg import sql

from deployments.local.postgres.cluster import Cluster
from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.checks.readiness import RoleRights, read_readiness, read_role
from migrations.database.session import reader

PLAIN = RoleRights(may_log_in=True, superuser=False, bypasses_row_security=False, acts_as_owner=False)


def test_owner_owns_and_an_application_does_not(database: ProvisionedDatabase) -> None:
    with reader(database.owner_dsn) as owner, psycopg.connect(database.app_dsn) as application:
        found, theirs = read_readiness(owner), read_readiness(application)
        assert found.server_version == owner.info.server_version
    assert (found.owns_database, found.superuser, theirs.owns_database) == (True, False, False)
    assert (found.user, found.database, theirs.user) == (database.owner, database.name, database.app)


@pytest.mark.parametrize(
    ("granted", "excess"),
    [
        ("", ()),
        ("ALTER ROLE {app} BYPASSRLS", ("sees every row",)),
        ("GRANT {owner} TO {app}", ("may act as the owner",)),
        ("ALTER ROLE {app} SUPERUSER", ("is a superuser",)),
    ],
)
def test_what_an_application_may_beyond_its_rights_is_named(
    server: Cluster, database: ProvisionedDatabase, granted: str, excess: tuple[str, ...]
) -> None:
    names = {"owner": sql.Identifier(database.owner), "app": sql.Identifier(database.app)}
    with server.connect() as superuser:
        if granted:
            superuser.execute(sql.SQL(granted).format(**names))  # pyright: ignore[reportArgumentType]
    with reader(database.owner_dsn) as owner:
        found = read_role(owner, database.app)
        assert found is not None
        assert found.excess == excess
        assert (found == PLAIN) is (not granted)
        assert read_role(owner, "nobody_at_all") is None


def test_statistics_of_statements_are_there_or_not(server: Cluster, database: ProvisionedDatabase) -> None:
    with reader(database.owner_dsn) as owner:
        before = read_readiness(owner).counts_statements
    other = "DROP EXTENSION" if before else "CREATE EXTENSION"
    with server.connect(database.name) as superuser:
        superuser.execute(f"{other} pg_stat_statements".encode())
    with reader(database.owner_dsn) as owner:
        assert read_readiness(owner).counts_statements is not before
