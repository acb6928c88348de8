"""Seeds: the same rows everywhere, loading twice changes nothing, and production is refused."""

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from deployments.local.postgres.cluster import Cluster
from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app
from flows.cli.console.database import owner_dsn
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import read_catalog
from migrations.checks.integrity import run_checks
from migrations.checks.result import CheckResult
from migrations.database.session import reader
from migrations.encryption.cipher import KeyRing
from migrations.history.revisions import History
from migrations.models import Base
from migrations.protection.encrypted_columns import encrypted_tables


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))


@pytest.fixture
def another(server: Cluster, database: ProvisionedDatabase) -> Iterator[ProvisionedDatabase]:
    """A second database of the same owner."""
    name = f"{database.name}_another"
    with server.connect() as superuser:
        superuser.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                *map(sql.Identifier, (name, database.name, database.owner))
            )
        )
    dsns = (make_conninfo(one, dbname=name) for one in (database.owner_dsn, database.app_dsn, database.superuser_dsn))
    owner_dsn, app_dsn, superuser_dsn = dsns
    yield replace(database, name=name, owner_dsn=owner_dsn, app_dsn=app_dsn, superuser_dsn=superuser_dsn)
    with server.connect() as superuser:
        superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def run(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())


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


def new_keys() -> str:
    return f"dev:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def in_plain(dsn: str, keys: str) -> dict[str, set[tuple[str, ...]]]:
    """Every row of every table as text, what was encrypted in plain."""
    ring, found = KeyRing.parse(keys), dict[str, set[tuple[str, ...]]]()
    hidden = {context for one in encrypted_tables() for context in one.contexts()}
    with reader(dsn) as connection:
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            names = [column.name for column in cursor.description or ()]
            found[table] = {
                tuple(
                    ring.decrypt(value, (table, name)) if value and (table, name) in hidden else str(value)
                    for name, value in zip(names, row, strict=True)
                )
                for row in cursor
            }
    return found


def violations(dsn: str) -> list[CheckResult]:
    with reader(dsn) as connection:
        promised = read_catalog(connection)
    return [one for one in run_checks(dsn, promised=promised) if one.violations != 0]


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
    assert violations(dsn) == []


AGREEING = (
    """SELECT c.id FROM conversations c LEFT JOIN (
         SELECT "conversationId" AS id, count(*) AS messages,
                sum(coalesce("tokensInput", 0) + coalesce("tokensOutput", 0)) AS tokens
         FROM messages GROUP BY 1) m USING (id)
       WHERE (c."messageCount", c."tokenCount") IS DISTINCT FROM (m.messages, m.tokens)""",
    """SELECT q.id FROM storage_quotas q LEFT JOIN (
         SELECT "userId", sum("sizeBytes") AS bytes, count(*) AS files
         FROM storage_files WHERE "deletedAt" IS NULL GROUP BY 1) f USING ("userId")
       WHERE (q."usedStorage", q."usedFiles") IS DISTINCT FROM (coalesce(f.bytes, 0), coalesce(f.files, 0))""",
    """SELECT u.id FROM monthly_usage u FULL JOIN (
         SELECT "userId", extract(year FROM "timestamp")::int AS year, extract(month FROM "timestamp")::int AS month,
                count(*) AS calls, sum("totalTokens") AS tokens, round(sum("totalCost"), 2) AS cost
         FROM usage_logs GROUP BY 1, 2, 3) l USING ("userId", year, month)
       WHERE (u."totalMessages", u."totalTokens", u."totalCost") IS DISTINCT FROM (l.calls, l.tokens, l.cost)""",
    """SELECT u.id FROM users u LEFT JOIN (
         SELECT "userId" AS id, sum("totalMessages") AS calls, sum("totalTokens") AS tokens
         FROM monthly_usage GROUP BY 1) m USING (id)
       WHERE (u."totalMessages", u."totalTokensUsed") IS DISTINCT FROM (coalesce(m.calls, 0), coalesce(m.tokens, 0))""",
    """SELECT d.id FROM debts d LEFT JOIN (
         SELECT "debtId" AS id, sum(amount - "interestAmount") AS paid FROM debt_payments GROUP BY 1) p USING (id)
       WHERE d.balance <> d.principal - coalesce(p.paid, 0)""",
)


def test_generated_rows_fill_every_table_and_agree_with_one_another(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", new_keys())
    dsn = build(database)
    code, said = seed(dsn, "--size", "small", "--json")
    assert code == 0, said
    told = json.loads(said)
    assert (told["left_out"], 4_500 < told["added"] < 5_500) == ([], True)
    before = every_row(dsn)
    assert [table for table in Base.metadata.tables if not before[table]] == []
    assert violations(dsn) == []
    assert [read(dsn, query) for query in AGREEING] == [[] for _ in AGREEING]
    code, said = seed(dsn, "--size", "small", "--json")
    assert (code, json.loads(said)["added"]) == (0, 0)
    assert every_row(dsn) == before
    disabled = read(dsn, "SELECT tgname FROM pg_trigger WHERE tgenabled = 'D'")
    assert disabled == []


def test_generated_rows_fit_the_first_revision_and_are_completed_at_the_head(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", new_keys())
    dsn = build(database, "20250122_1030")
    code, said = seed(dsn, "--size", "small", "--json")
    assert code == 0, said
    assert {"transactions", "file_access_logs"} <= set(json.loads(said)["left_out"])
    build(database)
    code, said = seed(dsn, "--size", "small", "--json")
    assert (code, json.loads(said)["left_out"]) == (0, []), said
    added = {one["table"]: one["added"] for one in json.loads(said)["tables"]}
    assert (added["users"], added["messages"], added["transactions"] > 100) == (0, 0, True)
    assert violations(dsn) == []


def test_the_same_seed_makes_the_same_rows_and_an_interrupted_load_is_completed(
    database: ProvisionedDatabase, another: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = new_keys()
    monkeypatch.setenv("ENCRYPTION_KEYS", keys)
    whole, cut = build(database), build(another)
    assert seed(whole, "--size", "small")[0] == 0
    # The session is ended in the middle of the messages, as a crash would.
    run(
        cut,
        """CREATE SEQUENCE written;
           CREATE FUNCTION cut() RETURNS boolean LANGUAGE sql AS
             'SELECT CASE WHEN nextval(''written'') = 500 THEN pg_terminate_backend(pg_backend_pid()) END';
           ALTER TABLE messages ADD CONSTRAINT cut CHECK (cut()) NOT VALID""",
    )
    code, said = seed(cut, "--size", "small")
    assert (code, "error:" in said) == (1, True), said
    assert len(read(cut, "SELECT FROM messages")) == 2
    assert len(read(cut, "SELECT FROM users")) > 4
    run(cut, "ALTER TABLE messages DROP CONSTRAINT cut; DROP FUNCTION cut; DROP SEQUENCE written")
    assert seed(cut, "--size", "small")[0] == 0
    assert in_plain(cut, keys) == in_plain(whole, keys)


def test_an_owner_who_is_held_to_row_level_security_seeds_too(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = new_keys()
    monkeypatch.setenv("ENCRYPTION_KEYS", keys)
    dsn = build(database)
    run(database.superuser_dsn, f'ALTER ROLE "{database.owner}" NOBYPASSRLS')
    code, said = seed(dsn, "--size", "small", "--json")
    assert code == 0, said
    added = {one["table"]: one["added"] for one in json.loads(said)["tables"]}
    for table in ("health_measurements", "transactions", "mcp_integrations"):
        assert read(database.superuser_dsn, f"SELECT count(*) FROM {table}") == [(added[table],)]
    code, said = seed(dsn, "--size", "small", "--json")
    assert (code, json.loads(said)["added"]) == (0, 0), said


def test_another_seed_adds_others(database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", new_keys())
    dsn = build(database)
    assert seed(dsn, "--size", "small")[0] == 0
    users = len(read(dsn, "SELECT FROM users"))
    code, said = seed(dsn, "--size", "small", "--seed", "2", "--json")
    assert code == 0, said
    strategy = {"users": 4, "agents": 3, "messages": 2, "storage_quotas": 2}
    old = {one["table"]: one["rows"] - one["added"] for one in json.loads(said)["tables"]}
    assert {table: rows for table, rows in old.items() if rows > 1} == strategy
    assert len(read(dsn, "SELECT FROM users")) == 2 * users - 4
    assert violations(dsn) == []


def test_generated_rows_need_keys(database: ProvisionedDatabase) -> None:
    dsn = build(database, "20250122_1030")
    code, said = seed(dsn, "--size", "small")
    assert (code, "openssl rand -base64 32" in said) == (1, True)
    assert read(dsn, "SELECT FROM users") == []


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
    # It does not say that they were not applied, where they may stand in another schema.
    assert "has no table in its schema public" in said
    assert "RESET search_path" in said


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
    with monkeypatch.context() as mistaken:
        mistaken.setenv("NEON_STAGING_BRANCH", platform.env["NEON_PRODUCTION_BRANCH"])
        code, said = seed(production, "--environment", "staging")
        assert (code, "never seeded" in said or "NEON_STAGING_BRANCH" in said) == (1, True), said
    code, said = seed(staging)
    assert (code, "say --environment staging" in said) == (1, True), said
    code, said = seed(staging, "--environment", "staging")
    # Nothing was released to this platform: staging has no tables, and that is all that keeps it from being seeded.
    assert "never seeded" not in said, said
