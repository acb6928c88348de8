"""`pilotage roles`: each role gets what it needs and no more, and twice is once."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app
from migrations.apply.migrate import upgrade
from migrations.authoring.consistency.live import check_live
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.checks.security.tools import check_tools_tables
from migrations.database.session import reader
from migrations.database.tools_tables import granted_writes, writable_by
from migrations.history.revisions import History
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
                role = {"owner": sql.Identifier(database.owner), "role": sql.Identifier(name)}
                connection.execute(
                    sql.SQL("ALTER DATABASE {} OWNER TO {owner}").format(sql.Identifier(database.name), **role)
                )
                connection.execute(sql.SQL("REASSIGN OWNED BY {role} TO {owner}").format(**role))
                connection.execute(sql.SQL("DROP OWNED BY {role} CASCADE; DROP ROLE {role}").format(**role))


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
    assert (code, f"{database.app} has no CREATEROLE" in said, "Nothing was written" in said) == (1, True, True), said


UNFIT = {
    "the owner": "{owner}",
    "a superuser": "cloud_admin",
    "the services' role": "pilotage_service",
    "PostgreSQL's own": "pg_monitor",
    "everybody": "public",
    "no role at all": "none",
    "Neon's own": "neon_superuser",
    "blank": "  ",
    "with a blank before it": " {app}",
    "with a newline in it": "a\nb",
    "longer than a name may be": "a" * 64,
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("unfit", UNFIT)
def test_a_name_that_is_no_such_roles_is_refused_before_anything_is_written(
    database: ProvisionedDatabase, names: tuple[str, str, str], unfit: str, place: int
) -> None:
    if unfit == "the services' role" and place == 2:
        return
    upgrade(database.owner_dsn, History.load(), target="20251101_0900", release_id="development")
    before, given = catalog(database.owner_dsn), list(names)
    given[place] = UNFIT[unfit].format(owner=database.owner, app=database.app)
    code, said = roles(database.owner_dsn, (given[0], given[1], given[2]))
    assert (code, "Nothing was written" in said) == (1, True), said
    assert difference(before, catalog(database.owner_dsn)) == ()
    assert may(database.superuser_dsn, database.owner, "audit_logs") >= {"UPDATE", "DELETE"}
    with psycopg.connect(database.superuser_dsn) as connection:
        assert connection.execute("SELECT FROM pg_roles WHERE rolname = ANY (%s)", (list(names),)).fetchone() is None


def test_one_role_is_not_two(database: ProvisionedDatabase, names: tuple[str, str, str]) -> None:
    for given in ((0, 0, 2), (0, 1, 0), (0, 1, 1)):
        code, said = roles(database.owner_dsn, (names[given[0]], names[given[1]], names[given[2]]))
        assert (code, "would be one role" in said) == (1, True), said


ACTS = {
    "as the owner": ("GRANT {owner} TO {shop}", "member of {owner}"),
    "as a superuser": ("GRANT cloud_admin TO {shop}", "member of cloud_admin"),
    "as one that Neon made": ("GRANT neon_superuser TO {shop}", "neon_superuser"),
    "as an owner of tables": ("ALTER TABLE users OWNER TO {shop}", "owns this database or tables"),
    "as an owner of a schema": ("CREATE SCHEMA extra AUTHORIZATION {shop}", "owns this database or tables"),
    "past row-level security": ("ALTER ROLE {shop} BYPASSRLS", "goes round row-level security"),
    "on every table": ("GRANT pg_write_all_data TO {shop}", "writes every table"),
    "as the database's owner": (
        "ALTER DATABASE {name} OWNER TO {shop}; GRANT CONNECT ON DATABASE {name} TO {owner}",
        "owns this database",
    ),
}


@pytest.mark.parametrize("acts", ACTS)
def test_a_role_that_acts_as_more_than_it_may_is_refused(
    database: ProvisionedDatabase, names: tuple[str, str, str], acts: str
) -> None:
    upgrade(database.owner_dsn, History.load(), target="20251101_0900", release_id="development")
    statement, told = ACTS[acts]
    known = {"owner": database.owner, "shop": names[0], "name": database.name}
    with psycopg.connect(database.superuser_dsn) as connection:
        connection.execute(f"CREATE ROLE {names[0]}; {statement.format(**known)}".encode())
    code, said = roles(database.owner_dsn, names)
    assert (code, told.format(**known) in said, "Nothing was written" in said) == (1, True, True), said


KEPT = {
    "by the default privileges of before": "GRANT SELECT, INSERT, UPDATE, DELETE ON alembic_version TO {shop}",
    "with the right to pass it on": "GRANT SELECT ON alembic_version TO {shop} WITH GRANT OPTION",
    "a column": "GRANT UPDATE (version_num) ON alembic_version TO {shop}",
    "by everybody": "GRANT INSERT ON alembic_version TO PUBLIC",
    "in another schema": """CREATE SCHEMA other; CREATE TABLE other.marks (version_num varchar(32) PRIMARY KEY);
        GRANT INSERT ON other.marks TO {shop}""",
    "the product's": "GRANT USAGE ON SCHEMA pilotage TO {shop}; GRANT DELETE ON pilotage.applied_revisions TO {shop}",
    "the product's schema": "GRANT CREATE ON SCHEMA pilotage TO {shop}",
    "prisma's": "CREATE TABLE _prisma_migrations (id text); GRANT UPDATE ON _prisma_migrations TO {shop}",
    "a sequence of the product's": """CREATE SEQUENCE pilotage.numbers;
        GRANT USAGE ON SEQUENCE pilotage.numbers TO {shop}""",
}


@pytest.mark.parametrize("kept", KEPT)
def test_what_tools_keep_is_taken_from_the_roles(
    database: ProvisionedDatabase, names: tuple[str, str, str], kept: str
) -> None:
    upgrade(database.owner_dsn, History.load(), target="20251101_0900", release_id="development")
    with psycopg.connect(database.superuser_dsn) as connection:
        connection.execute(f"CREATE ROLE {names[0]}".encode())
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(KEPT[kept].format(shop=names[0]).encode())
        assert check_tools_tables(connection, names[0]).wrong
    for _ in range(2):
        code, said = roles(database.owner_dsn, names)
        assert code == 0, said
        with psycopg.connect(database.owner_dsn) as connection:
            # The role that the database was provisioned with was not named.
            assert [who for who, _ in granted_writes(connection) if who != database.app] == []
            assert writable_by(connection, names[0]) == ()
    assert may(database.owner_dsn, names[0], "alembic_version") == {"SELECT"}


def test_a_right_that_comes_from_elsewhere_is_told(database: ProvisionedDatabase, names: tuple[str, str, str]) -> None:
    upgrade(database.owner_dsn, History.load(), target="20251101_0900", release_id="development")
    with psycopg.connect(database.superuser_dsn) as connection:
        for name in names:
            connection.execute(f"CREATE ROLE {name}".encode())
        connection.execute(f"GRANT INSERT ON alembic_version TO {names[2]}; GRANT {names[2]} TO {names[0]}".encode())
        found = check_tools_tables(connection, names[0]).wrong
    assert f"{names[0]} may write alembic_version, which says where the schema stands" in found
    assert f"{names[2]} may write alembic_version, which says where the schema stands" in found
    code, said = roles(database.owner_dsn, (names[0], names[1], "pilotage_service"))
    assert (code, f"{names[0]} may write alembic_version" in said) == (1, True), said


def under_way(*_: object) -> object:
    """In the place of what asks the ledger."""
    return SimpleNamespace(id="20260101-120000-ab12")


def test_nothing_is_granted_while_a_release_is_under_way(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        monkeypatch.setattr(type(ledger), "running", under_way)
        ran = CliRunner().invoke(app, ["roles", "--environment", "production"])
    assert (ran.exit_code, "20260101-120000-ab12 is under way" in ran.output) == (1, True), ran.output
