"""Checks count the rows that are wrong, and say where to look; no row of a user is in what they tell."""

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.checks.queries import check_query, critical_queries

SPELLINGS = ("ana@example.com", "ANA@example.com")


@pytest.fixture
def people(database: ProvisionedDatabase) -> psycopg.Connection:
    connection = psycopg.connect(database.owner_dsn)
    connection.execute("CREATE TABLE users (email text)")
    connection.cursor().executemany("INSERT INTO users VALUES (%s)", [(one,) for one in SPELLINGS])
    return connection


def test_a_query_that_finds_rows_counts_them_and_names_its_file_alone(people: psycopg.Connection) -> None:
    (duplicates,) = (query for query in critical_queries() if query.name == "duplicate users")
    with people:
        found = check_query(people, duplicates)
        assert found.violations == 1
        assert found.detail == "migrations/checks/queries/duplicate_users.sql shows them"
        assert "ana" not in repr(found).lower()
        people.execute("DELETE FROM users WHERE email = %s", SPELLINGS[:1])
        assert check_query(people, duplicates).violations == 0
