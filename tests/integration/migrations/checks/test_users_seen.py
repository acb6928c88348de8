"""Users are counted by the clock of the database that keeps their moments, whatever it is set to."""

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.checks.users import clock, users_seen
from migrations.database.session import reader

TABLES = """
CREATE TABLE users (id int PRIMARY KEY, "lastInteraction" timestamp);
CREATE TABLE chat_sessions (id int PRIMARY KEY, "userId" int, "lastActivity" timestamp);
INSERT INTO users SELECT g, timezone('UTC', now()) FROM generate_series(1, 3) g;
"""


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
def test_who_comes_after_a_moment_of_the_database_is_seen_and_who_came_before_is_not(
    database: ProvisionedDatabase, zone: str
) -> None:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute(f"ALTER DATABASE {database.name} SET TimeZone = '{zone}'".encode())
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        owner.execute(TABLES.encode())
        with reader(database.owner_dsn) as reading:
            since = clock(reading)
        with reader(database.owner_dsn) as reading:
            assert users_seen(reading, since) == 0
        owner.execute("UPDATE users SET \"lastInteraction\" = timezone('UTC', clock_timestamp()) WHERE id = 1")
        owner.execute("INSERT INTO chat_sessions VALUES (1, 2, timezone('UTC', clock_timestamp()))")
        with reader(database.owner_dsn) as reading:
            assert users_seen(reading, since) == 2
        row = owner.execute("SELECT %s BETWEEN now() - interval '1 hour' AND now()", (since,)).fetchone()
        assert row == (True,)
