"""`pilotage roles`: each role gets what it needs and no more, and twice is once."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from deployments.local.provision import ProvisionedDatabase
from deployments.local.running import RunningPlatform
from flows.cli import app
from migrations.apply import upgrade
from migrations.catalog import Catalog, difference, read_catalog
from migrations.consistency import check_live
from migrations.history import History
from migrations.session import reader
from tasks import connections


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))


@pytest.fixture
def names(database: ProvisionedDatabase) -> Iterator[tuple[str, str, str]]:
    """Three roles that are not there yet, and are gone afterwards."""
    found = f"{database.name}_shop", f"{database.name}_reads", f"{database.name}_serves"
    yield found
    with psycopg.connect(database.superuser_dsn) as connection:
        for name in found:
            there = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            if there is not None:
                connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(name)))


def roles(dsn: str, names: tuple[str, str, str], *more: str) -> tuple[int, str]:
    given = [f"--{what}={name}" for what, name in zip(("application", "read-only", "service"), names, strict=True)]
    ran = CliRunner().invoke(app, ["roles", "--database-url", dsn, *given, *more])
    return ran.exit_code, ran.stdout + ran.stderr


def catalog(dsn: str) -> Catalog:
    with reader(dsn) as connection:
        return read_catalog(connection)


def may(dsn: str, role: str, table: str) -> set[str]:
    asked = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    with psycopg.connect(dsn) as connection:
        query = "SELECT has_table_privilege(%s, %s, %s)"
        return {one for one in asked if connection.execute(query, (role, table, one)).fetchone() == (True,)}


@pytest.mark.parametrize("when", ["before the revisions", "after the revisions"])
def test_each_role_gets_what_it_needs_and_no_more(
    database: ProvisionedDatabase, names: tuple[str, str, str], when: str
) -> None:
    def build() -> None:
        upgrade(database.owner_dsn, History.load(), target="heads", release_id="development")

    if when == "after the revisions":
        build()
    code, said = roles(database.owner_dsn, names, "--json")
    assert code == 0, said
    told = {one["name"]: one for one in json.loads(said)["roles"]}
    assert list(told) == list(names)
    if when == "before the revisions":
        build()
    else:
        assert (told[names[0]]["reads"], told[names[0]]["writes"], told[names[1]]["writes"]) == (41, 41, 0)
    writes = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    for role, on_users, on_the_trail in zip(
        names,
        (writes, {"SELECT"}, writes),
        ({"SELECT", "INSERT"}, {"SELECT"}, {"SELECT", "INSERT"}),
        strict=True,
    ):
        assert may(database.owner_dsn, role, "users") == on_users
        assert may(database.owner_dsn, role, "audit_logs") == on_the_trail
        with psycopg.connect(database.superuser_dsn) as connection:
            row = connection.execute(
                """SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolcanlogin,
                          has_schema_privilege(rolname, 'public', 'CREATE'), pg_has_role(rolname, %s, 'MEMBER')
                   FROM pg_roles WHERE rolname = %s""",
                (database.owner, role),
            ).fetchone()
        assert row == (False, False, False)
    # What is granted so is what the revisions promise where these roles are.
    assert check_live(database.owner_dsn, database.owner_dsn, History.load())[0].findings == ()
    before = catalog(database.owner_dsn)
    code, said = roles(database.owner_dsn, names)
    assert (code, "may not log in" in said) == (0, True), said
    assert difference(before, catalog(database.owner_dsn)) == ()


def test_only_services_see_the_rows_of_others(database: ProvisionedDatabase, names: tuple[str, str, str]) -> None:
    upgrade(database.owner_dsn, History.load(), target="heads", release_id="development")
    assert roles(database.owner_dsn, names)[0] == 0
    with psycopg.connect(database.superuser_dsn) as connection:
        row = connection.execute("""INSERT INTO users (email) VALUES ('ana@example.org') RETURNING id""").fetchone()
        assert row is not None
        connection.execute(
            """INSERT INTO budgets ("userId", category, amount, "startsOn") VALUES (%s, 'x', 1, now())""", row
        )
        connection.commit()
        seen: list[object] = []
        for name in names:
            connection.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(name)))
            seen += connection.execute("SELECT count(*) FROM budgets").fetchall()
            connection.execute("RESET SESSION AUTHORIZATION")
    assert seen == [(0,), (0,), (1,)]


def test_it_has_to_be_told_what_the_application_is(database: ProvisionedDatabase) -> None:
    ran = CliRunner().invoke(app, ["roles", "--database-url", database.owner_dsn])
    assert (ran.exit_code, "set NEON_APP_ROLE, or give --application" in ran.output) == (1, True)


def test_a_role_that_may_not_make_roles_is_told(database: ProvisionedDatabase, names: tuple[str, str, str]) -> None:
    code, said = roles(database.app_dsn, names)
    assert (code, "making roles" in said) == (1, True), said


def under_way(*_: object) -> object:
    """In the place of what asks the ledger."""
    return SimpleNamespace(id="20260101-120000-ab12")


def test_nothing_is_granted_while_a_release_is_under_way(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    given = connections.settings()
    with connections.ledger(given) as ledger:
        monkeypatch.setattr(type(ledger), "running", under_way)
        ran = CliRunner().invoke(app, ["roles", "--environment", "production"])
    assert (ran.exit_code, "20260101-120000-ab12 is under way" in ran.output) == (1, True), ran.output
