"""Seeds: the same rows everywhere, loading twice changes nothing, and production is refused."""

import json
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from deployments.local.provision import ProvisionedDatabase
from deployments.local.running import RunningPlatform
from flows.cli import app
from flows.cli.database import owner_dsn
from migrations.apply import upgrade
from migrations.catalog import read_catalog
from migrations.checks import run_checks
from migrations.history import History
from migrations.session import reader


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))


def build(database: ProvisionedDatabase, target: str = "heads") -> str:
    upgrade(database.owner_dsn, History.load(), target=target, release_id="development")
    return database.owner_dsn


def seed(dsn: str, *arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["seed", "--database-url", dsn, *arguments])
    return ran.exit_code, ran.stdout + ran.stderr


def every_row(dsn: str) -> dict[str, list[str]]:
    """Every row of every table, and the transaction that wrote it."""
    found: dict[str, list[str]] = {}
    with reader(dsn) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT xmin || ' ' || t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))
            found[table] = [row[0] for row in connection.execute(query)]
    return found


def read(dsn: str, query: str) -> list[tuple[object, ...]]:
    with reader(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("revision", ["20250122_1030", "heads"])
def test_loading_twice_changes_nothing(database: ProvisionedDatabase, revision: str) -> None:
    dsn = build(database, revision)
    code, said = seed(dsn, "--json")
    assert code == 0, said
    told = json.loads(said)
    assert {one["table"] for one in told["tables"]} | set(told["left_out"]) >= {"users", "storage_quotas"}
    assert ("storage_quotas" in told["left_out"]) == (revision != "heads")
    before = every_row(dsn)
    assert len(before["users"]) == 4
    assert len(before["messages"]) == 2
    code, said = seed(dsn, "--json")
    assert (code, json.loads(said)["added"]) == (0, 0)
    assert every_row(dsn) == before
    assert read(dsn, "SELECT DISTINCT jsonb_typeof(capabilities) FROM agents") == [("array",)]
    with reader(dsn) as connection:
        promised = read_catalog(connection)
    assert [one for one in run_checks(dsn, promised=promised) if one.violations != 0] == []


def test_people_who_are_there_already_stand_in_the_place_of_seeded_ones(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = build(database)
    monkeypatch.setenv("SUPER_ADMIN_EMAIL", "ana@example.org")
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO users (email, role) VALUES ('Ana@example.org', 'SUPER_ADMIN')")
    assert seed(dsn)[0] == 0
    assert read(dsn, """SELECT DISTINCT u.email FROM agents a JOIN users u ON u.id = a."createdBy" """) == [
        ("Ana@example.org",)
    ]
    assert len(read(dsn, "SELECT FROM users")) == 4


def test_a_database_without_tables_is_told(database: ProvisionedDatabase) -> None:
    code, said = seed(database.owner_dsn)
    assert (code, "apply the revisions first" in said) == (1, True)


@pytest.mark.parametrize("environment", ["production", "test"])
def test_only_development_and_staging_can_be_named(database: ProvisionedDatabase, environment: str) -> None:
    code, said = seed(database.owner_dsn, "--environment", environment)
    assert (code, f"{environment} is never seeded" in said) == (1, True)


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_a_database_that_releases_changed_is_refused_without_settings_too(
    database: ProvisionedDatabase, environment: str
) -> None:
    upgrade(database.owner_dsn, History.load(), target="20250122_1030", release_id="20260101-120000-ab12")
    code, said = seed(database.owner_dsn, "--environment", environment)
    assert (code, "releases applied (20260101-120000-ab12)" in said) == (1, True)
    assert read(database.owner_dsn, "SELECT FROM users") == []


def test_production_is_refused_and_staging_is_not(platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    production, staging = owner_dsn("production"), owner_dsn("staging")
    for environment in ("development", "staging"):
        code, said = seed(production, "--environment", environment)
        assert (code, "which is never seeded" in said) == (1, True), said
    code, said = seed(staging)
    assert (code, "say --environment staging" in said) == (1, True), said
    code, said = seed(staging, "--environment", "staging")
    # Nothing was released to this platform: staging has no tables, and that is all that keeps it from being seeded.
    assert "never seeded" not in said, said
