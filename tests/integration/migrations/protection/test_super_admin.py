import json
import threading
from typing import Any

import psycopg
import pytest
import typer
from psycopg.rows import dict_row
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli.super_admin import create_super_admin as command
from migrations.apply.migrate import upgrade
from migrations.errors import DatabaseRefused
from migrations.history.revisions import History
from migrations.protection.super_admin import SuperAdmin, create_super_admin
from migrations.protection.super_admin_errors import AnotherRole, NotAnAddress

EMAIL = "root@example.com"


def at(database: ProvisionedDatabase, revision: str) -> ProvisionedDatabase:
    upgrade(database.owner_dsn, History.load(), target=revision, release_id="test")
    return database


@pytest.fixture
def shop(database: ProvisionedDatabase) -> ProvisionedDatabase:
    return at(database, "20251101_0900")


def rows(database: ProvisionedDatabase, table: str) -> list[dict[str, Any]]:
    with psycopg.connect(database.owner_dsn) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {table}".encode()).fetchall()


def create(database: ProvisionedDatabase, email: str = EMAIL) -> SuperAdmin:
    return create_super_admin(database.owner_dsn, email=email, name="Ana Roo", requested_by="ops")


def test_the_super_admin_has_the_role_and_the_audit_log_says_who_asked(shop: ProvisionedDatabase) -> None:
    made = create(shop)
    (user,), (entry,) = rows(shop, "users"), rows(shop, "audit_logs")
    assert (user["id"], user["email"], user["name"]) == (made.id, EMAIL, "Ana Roo")
    assert (user["role"], user["subscriptionTier"], user["isActive"]) == ("SUPER_ADMIN", "UNLIMITED", True)
    assert user["emailVerified"] is not None
    assert (entry["adminId"], entry["action"], entry["targetType"], entry["targetId"]) == (
        made.id,
        "user.create_super_admin",
        "user",
        made.id,
    )
    assert entry["details"] == {"email": EMAIL, "requestedBy": "ops"}


@pytest.mark.parametrize("revision", ["20250122_1030", "head"])
def test_the_first_revision_is_enough_and_the_last_one_will_do(database: ProvisionedDatabase, revision: str) -> None:
    made = create(at(database, revision))
    assert [entry["targetId"] for entry in rows(database, "audit_logs")] == [made.id]


@pytest.mark.parametrize("again", [EMAIL, "Root@Example.COM", f" {EMAIL} "])
def test_a_second_time_nothing_is_changed(shop: ProvisionedDatabase, again: str) -> None:
    made = create(shop)
    before = rows(shop, "users")
    found = create(shop, again)
    assert found == SuperAdmin(made.id, EMAIL, created=False, active=True)
    assert (rows(shop, "users"), len(rows(shop, "audit_logs"))) == (before, 1)


def test_a_user_of_another_role_is_not_promoted(shop: ProvisionedDatabase) -> None:
    with psycopg.connect(shop.owner_dsn) as connection:
        connection.execute(
            """INSERT INTO users (email, role, "updatedAt") VALUES (%s, 'DEVELOPER', now())""", ("ROOT@example.com",)
        )
    with pytest.raises(AnotherRole, match="with the role DEVELOPER, and nothing was changed"):
        create(shop)
    assert [user["role"] for user in rows(shop, "users")] == ["DEVELOPER"]
    assert rows(shop, "audit_logs") == []


def test_where_the_audit_log_cannot_be_written_nobody_is_created(shop: ProvisionedDatabase) -> None:
    with psycopg.connect(shop.owner_dsn) as connection:
        connection.execute("ALTER TABLE audit_logs ADD CONSTRAINT closed CHECK (action = '')")
    with pytest.raises(DatabaseRefused, match="closed"):
        create(shop)
    assert rows(shop, "users") == []


def test_two_at_once_create_one(shop: ProvisionedDatabase) -> None:
    made: list[SuperAdmin] = []
    threads = [threading.Thread(target=lambda: made.append(create(shop))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.created for one in made) == [False, False, False, True]
    assert (len(rows(shop, "users")), len(rows(shop, "audit_logs"))) == (1, 1)


@pytest.mark.parametrize(
    "email", ["root", "root@", "@example.com", "a b@example.com", "root@host", "a@b@c.com", "x" * 250 + "@b.com"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(NotAnAddress):
        create_super_admin("host=127.0.0.1 port=1", email=email, name="Ana Roo", requested_by="ops")


def test_a_database_without_the_tables_says_so(database: ProvisionedDatabase) -> None:
    with pytest.raises(DatabaseRefused, match="creating the super admin"):
        create(database)


def run(*arguments: str, answer: str | None = None) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments, input=answer)
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.fixture
def given(shop: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch) -> ProvisionedDatabase:
    monkeypatch.setenv("DATABASE_URL", shop.owner_dsn)
    monkeypatch.setenv("SUPER_ADMIN_EMAIL", EMAIL)
    monkeypatch.setenv("SUPER_ADMIN_NAME", "Ana Roo")
    return shop


def test_the_command_creates_and_then_finds(given: ProvisionedDatabase) -> None:
    assert run("--environment", "development")[:2] == (0, f"{EMAIL} is super admin of development now.\n")
    code, said, _ = run("--environment", "development")
    assert (code, "already; nothing was changed" in said) == (0, True)
    assert json.loads(run("--environment", "development", "--json")[1])["created"] is False


def test_a_deactivated_super_admin_is_told(given: ProvisionedDatabase) -> None:
    create(given)
    with psycopg.connect(given.owner_dsn) as connection:
        connection.execute('UPDATE users SET "isActive" = false')
    assert "already, but is deactivated" in run("--environment", "development")[1]


@pytest.mark.parametrize(
    ("more", "answer"),
    [((), None), ((), "other@example.com\n"), (("--yes-i-mean", "other@example.com"), None)],
    ids=["no answer", "another answer", "another address"],
)
def test_production_wants_the_address_again(
    given: ProvisionedDatabase, more: tuple[str, ...], answer: str | None
) -> None:
    code, _, said = run("--environment", "production", "--database-url", given.owner_dsn, *more, answer=answer)
    assert code == 1
    assert "again" in said
    assert rows(given, "users") == []


@pytest.mark.parametrize(("more", "answer"), [((), f"{EMAIL}\n"), (("--yes-i-mean", EMAIL), None)])
def test_production_takes_the_address_typed_again(
    given: ProvisionedDatabase, more: tuple[str, ...], answer: str | None
) -> None:
    code, said, _ = run("--environment", "production", "--database-url", given.owner_dsn, *more, answer=answer)
    assert (code, said.splitlines()[-1]) == (0, f"{EMAIL} is super admin of production now.")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    monkeypatch.setenv("SUPER_ADMIN_EMAIL", EMAIL)
    monkeypatch.setenv("SUPER_ADMIN_NAME", "Ana Roo")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", ["SUPER_ADMIN_EMAIL", "SUPER_ADMIN_NAME"])
@pytest.mark.parametrize("value", ["", "<your-name>", "change-me@example.com"])
def test_who_it_is_must_be_filled_in_before_a_database_is_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    code, _, said = run("--environment", "development")
    assert (code, f"error: {name}" in said) == (1, True)


@pytest.mark.usefixtures("nowhere")
def test_options_are_held_to_the_same() -> None:
    code, _, said = run("--environment", "development", "--email", "<you>@example.com")
    assert (code, "placeholder" in said) == (1, True)
