"""Every query that people run on a database in production answers at the head, over seeded rows."""

import json
import secrets
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, ProvisionedDatabase, provision
from flows.cli import app
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import read_catalog
from migrations.checks.integrity import run_checks
from migrations.database.session import reader
from migrations.encryption.cipher import KEY_BYTES, KeyRing
from migrations.history.revisions import History
from migrations.models import Base
from migrations.seeds.initial_rows import SuperAdminIdentity
from migrations.seeds.seeding import seed

ENUMS = 15


@pytest.fixture(scope="module")
def owner(server: Cluster) -> str:
    """A seeded database at the head."""
    name = f"operating_{secrets.token_hex(4)}"
    owner, application = (Login(f"{name}_{kind}", secrets.token_urlsafe(12)) for kind in ("owner", "app"))
    with server.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=application)
    found = dsn(server.port, user=owner.name, password=owner.password, database=name)
    upgrade(found, History.load(), release_id="r")
    seed(found, super_admin=SuperAdminIdentity(), size="small", keys=KeyRing([("k", bytes(KEY_BYTES))]))
    return found


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))


def metrics(dsn: str) -> dict[str, Any]:
    ran = CliRunner().invoke(app, ["metrics", "--database-url", dsn, "--json"])
    assert ran.exit_code == 0, ran.output
    return {one["name"]: one for one in json.loads(ran.stdout)["metrics"]}


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def test_the_validation_finds_every_table_key_and_index_and_no_row_that_is_wrong(owner: str) -> None:
    with reader(owner) as connection:
        live = read_catalog(connection)
    assert {one.name for one in live.of_kind("table")} == set(Base.metadata.tables)
    assert (len(live.of_kind("table")), len(live.of_kind("enum"))) == (41, ENUMS)
    results = {one.check: one for one in run_checks(owner, promised=live, row_counts={"public.users": 4})}
    assert {name: one.detail for name, one in results.items() if one.violations != 0} == {}
    assert {"foreign keys", "indexes", "orphans", "row counts", "users and agents", "recent messages"} <= results.keys()
    keys = sum(
        len(table.foreign_keys) > 0 and len(table.foreign_key_constraints) for table in Base.metadata.sorted_tables
    )
    assert results["foreign keys"].detail == f"{keys} foreign keys"


def test_every_metric_answers(owner: str) -> None:
    found = metrics(owner)
    assert {name for name, one in found.items() if one["rows"] is None} == set()
    assert {one["table"] for one in found["table sizes"]["rows"]} >= set(Base.metadata.tables)
    assert all(one["bytes"] > 0 for one in found["table sizes"]["rows"])
    assert {one["table"] for one in found["vacuum and analyze"]["rows"]} >= set(Base.metadata.tables)
    references = {(one["table"], tuple(one["columns"]), one["referenced"]) for one in found["foreign keys"]["rows"]}
    assert ("conversations", ("chatSessionId",), "chat_sessions") in references
    assert all(one["validated"] for one in found["foreign keys"]["rows"])
    assert sum(one["sessions"] for one in found["connections"]["rows"]) >= 1
    assert found["blocked sessions"]["rows"] == []
    assert "users_email_key" not in {one["index"] for one in found["unused indexes"]["rows"]}


def test_who_is_slow_and_who_waits_is_shown(owner: str) -> None:
    with psycopg.connect(owner) as holder, psycopg.connect(owner, autocommit=True) as waiter:
        holder.execute("SELECT pg_sleep(0.15)")
        holder.execute("LOCK TABLE agents")
        waiter.execute("SET lock_timeout = '20s'")
        waiting = waiter.pgconn
        waiting.send_query(b"SELECT 'waits' FROM agents")
        found = metrics(owner)
        for _ in range(100):
            if found["blocked sessions"]["rows"]:
                break
            found = metrics(owner)
        (blocked,) = found["blocked sessions"]["rows"]
        assert blocked["blocked_by"] == [holder.info.backend_pid]
        assert "waits" in blocked["statement"]
        # A table that is locked is not waited for.
        assert "lock timeout" in found["table sizes"]["why"]
        holder.rollback()
        while waiting.get_result() is not None:
            pass
    assert any("pg_sleep" in one["statement"] for one in metrics(owner)["slow statements"]["rows"])


def test_a_server_without_its_statements_is_told_and_the_rest_answers(database: ProvisionedDatabase) -> None:
    with psycopg.connect(database.superuser_dsn) as connection:
        connection.execute("DROP EXTENSION pg_stat_statements")
    found = metrics(database.owner_dsn)
    assert "pg_stat_statements is not there" in found["slow statements"]["why"]
    assert [name for name, one in found.items() if one["rows"] is None] == ["slow statements"]
    shown = CliRunner().invoke(app, ["metrics", "--database-url", database.owner_dsn])
    assert (shown.exit_code, "cannot tell: pg_stat_statements" in shown.output) == (0, True)


def test_upkeep_does_not_need_anybody_to_stop(owner: str) -> None:
    with psycopg.connect(owner) as user, psycopg.connect(owner, autocommit=True) as keeper:
        user.execute("SELECT count(*) FROM users")
        keeper.execute("SET lock_timeout = '2s'")
        keeper.execute("VACUUM (ANALYZE) users")
        keeper.execute("ANALYZE")
        keeper.execute("SELECT pg_stat_force_next_flush()")
    analyzed = {one["table"]: one["analyzed"] for one in metrics(owner)["vacuum and analyze"]["rows"]}
    assert analyzed["users"] is not None


PLANS = {
    "a user by address": ("SELECT id FROM users WHERE email = 'x'", "users_email_key"),
    "active users of a role": (
        """SELECT id FROM users WHERE role = 'ADMIN' AND "isActive" """,
        "users_role_isActive_idx",
    ),
    "who may do something": ("""SELECT id FROM users WHERE permissions @> '{"a": 1}'""", "users_permissions_idx"),
    "words in English": (
        "SELECT id FROM messages WHERE to_tsvector('english', content) @@ to_tsquery('english', 'x')",
        "messages_content_english_idx",
    ),
    "words in Spanish": (
        "SELECT id FROM messages WHERE to_tsvector('spanish', content) @@ to_tsquery('spanish', 'x')",
        "messages_content_spanish_idx",
    ),
}


@pytest.mark.parametrize("query", PLANS)
def test_an_index_serves(owner: str, query: str) -> None:
    text, index = PLANS[query]
    with psycopg.connect(owner) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN (ANALYZE) {text}".encode()))
    assert index in plan


REPAIRS = {
    "users that are there twice": (
        "DELETE FROM users a USING users b WHERE a.id > b.id AND lower(a.email) = lower(b.email)"
    ),
    "conversations without a session": (
        'DELETE FROM conversations c WHERE NOT EXISTS (SELECT FROM chat_sessions s WHERE s.id = c."chatSessionId")'
    ),
    "sessions that sit idle": """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE state = 'idle' AND state_change < now() - interval '5 minutes' AND datname = current_database()""",
}


@pytest.mark.parametrize("repair", REPAIRS)
def test_a_repair_finds_nothing_to_do_where_all_is_well(owner: str, repair: str) -> None:
    with psycopg.connect(owner) as connection:
        assert connection.execute(REPAIRS[repair].encode()).rowcount == 0
        connection.rollback()


def test_what_was_written_since_is_found(owner: str) -> None:
    since = """SELECT count(*) FROM messages WHERE "timestamp" > '2000-01-01'"""
    assert ask(owner, since) == ask(owner, "SELECT count(*) FROM messages")
