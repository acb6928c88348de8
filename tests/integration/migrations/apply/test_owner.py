"""The owner as Neon makes it works the whole history; one that may less is told before anything is written."""

import base64
import json
import secrets
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, ProvisionedDatabase, provision
from flows.cli import app
from migrations.apply.errors import OwnerLacksRight
from migrations.apply.migrate import downgrade, upgrade
from migrations.authoring.consistency.live import check_live
from migrations.authoring.reset import rebuild
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.session import reader
from migrations.database.tools_tables import granted_writes, writable_by
from migrations.history.revisions import History

HISTORY = History.load()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))
    monkeypatch.setenv("ENCRYPTION_KEYS", f"k1:{base64.b64encode(bytes(32)).decode()}")


def as_neon_makes_it(server: Cluster) -> ProvisionedDatabase:
    name = f"neon_{secrets.token_hex(4)}"
    owner, application = Login(f"{name}_owner", "owner"), Login(f"{name}_app", "app")
    with server.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=application)
    return ProvisionedDatabase(
        name,
        owner.name,
        application.name,
        dsn(server.port, user=owner.name, password="owner", database=name),
        dsn(server.port, user=application.name, password="app", database=name),
        server.superuser_dsn(name),
    )


@pytest.fixture(params=[18, 15])
def neon(request: pytest.FixtureRequest) -> ProvisionedDatabase:
    """A database of its own on the newest server, then on the oldest."""
    return as_neon_makes_it(request.getfixturevalue("server" if request.param == 18 else "oldest"))


def run(*arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, list(arguments))
    return ran.exit_code, ran.stdout + ran.stderr


def catalog(where: str) -> Catalog:
    with reader(where) as connection:
        return read_catalog(connection)


def test_the_owner_that_neon_makes_is_no_superuser_and_the_database_is_its_own(neon: ProvisionedDatabase) -> None:
    with psycopg.connect(neon.owner_dsn) as connection:
        row = connection.execute(
            """SELECT r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolbypassrls, r.rolreplication,
                      pg_has_role('neon_superuser', 'USAGE'), pg_get_userbyid(d.datdba), n.nspowner::regrole::text,
                      (SELECT count(*) FROM pg_default_acl WHERE NOT pg_has_role(defaclrole, 'USAGE'))
               FROM pg_roles r, pg_database d, pg_namespace n
               WHERE r.rolname = current_user AND d.datname = current_database() AND n.nspname = 'public'"""
        ).fetchone()
    assert row == (False, True, True, True, True, True, neon.owner, "pg_database_owner", 2)


def test_such_an_owner_works_through_the_whole_life_of_a_database(neon: ProvisionedDatabase) -> None:
    at = ("--database-url", neon.owner_dsn)
    empty = catalog(neon.owner_dsn)
    for arguments in (
        ("apply", *at),
        ("roles", *at, "--application", f"{neon.name}_shop"),
        ("roles", *at, "--application", f"{neon.name}_shop"),
        ("seed", *at, "--size", "none"),
        ("status", *at),
        ("metrics", *at),
    ):
        code, said = run(*arguments)
        assert code == 0, (arguments[0], said)
    code, said = run("check", "--live", "--json", *at)
    checks = {one["check"]: one for one in json.loads(said[said.index("{") :])["checks"]}
    assert (code, [name for name, one in checks.items() if not one["passed"]]) == (0, []), said
    assert "not compared" not in checks["database"]["note"]
    code, said = run("security-check", "--environment", "development", "--json", *at, "--app-role", f"{neon.name}_shop")
    states = {one["line"]: one["state"] for one in json.loads(said)["findings"]}
    assert states["Row-level security is enabled"] == "holds", said
    downgrade(neon.owner_dsn, HISTORY, "base")
    left = {str(one) for one in difference(empty, catalog(neon.owner_dsn))}
    assert left == set(), left
    code, said = run("reset", "--yes", "--json", "--seed", "none", *at)
    assert (code, json.loads(said)["applied"]) == (0, [one.id for one in HISTORY.revisions]), said


def test_two_owners_of_one_server_need_nothing_of_each_other(server: Cluster) -> None:
    first, second = as_neon_makes_it(server), as_neon_makes_it(server)
    for one in (first, second):
        code, said = run("roles", "--database-url", one.owner_dsn, "--application", f"{one.name}_shop")
        assert code == 0, said
        upgrade(one.owner_dsn, HISTORY, release_id="r")
        assert check_live(one.owner_dsn, one.owner_dsn, HISTORY)[0].passed
    # The role of services was made by neither: who may not make members of it is told so.
    code, said = run(
        "roles",
        "--database-url",
        second.owner_dsn,
        "--application",
        f"{second.name}_x",
        "--service",
        f"{second.name}_y",
    )
    assert (code, f'GRANT "pilotage_service" TO "{second.owner}" WITH ADMIN OPTION' in said) == (1, True), said
    assert not exists(second, f"{second.name}_x")


def exists(database: ProvisionedDatabase, role: str) -> bool:
    with psycopg.connect(database.superuser_dsn) as connection:
        return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None


LACKING = {
    "row-level security": ("ALTER ROLE {owner} NOBYPASSRLS", "has no BYPASSRLS", 'ALTER ROLE "{owner}" BYPASSRLS'),
    "no rights on the schema": (
        "ALTER SCHEMA public OWNER TO cloud_admin; REVOKE CREATE ON SCHEMA public FROM PUBLIC, pg_database_owner",
        "may make nothing in the schema public",
        "GRANT CREATE ON SCHEMA",
    ),
    "no schema": (
        "ALTER SCHEMA public RENAME TO former",
        "no schema of its search_path is there",
        "CREATE SCHEMA public",
    ),
    "no schema by its own setting": (
        "ALTER ROLE {owner} SET search_path = nowhere",
        "no schema of its search_path is there",
        'ALTER ROLE "{owner}" SET search_path = public',
    ),
}


@pytest.mark.parametrize("lacking", LACKING)
def test_an_owner_that_may_too_little_is_told_before_anything_is_written(
    neon: ProvisionedDatabase, lacking: str
) -> None:
    statement, why, instead = (text.format(owner=neon.owner) for text in LACKING[lacking])
    with psycopg.connect(neon.superuser_dsn) as connection:
        connection.execute(statement.encode())
        if lacking == "row-level security":
            connection.execute("CREATE TABLE precious (id integer)")
    for act in (lambda: upgrade(neon.owner_dsn, HISTORY, release_id="r"), lambda: rebuild(neon.owner_dsn, HISTORY)):
        with pytest.raises(OwnerLacksRight, match="Nothing was written") as told:
            act()
        assert why in str(told.value)
        assert instead in str(told.value)
    with psycopg.connect(neon.superuser_dsn) as connection:
        row = connection.execute(
            """SELECT to_regnamespace('pilotage') IS NULL,
                      array(SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname = 'public' AND c.relkind = 'r')"""
        ).fetchone()
    assert row == (True, ["precious"] if lacking == "row-level security" else [])


def test_an_owner_without_bypassrls_applies_what_needs_none(neon: ProvisionedDatabase) -> None:
    with psycopg.connect(neon.superuser_dsn) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} NOBYPASSRLS").format(sql.Identifier(neon.owner)))
    below = HISTORY.revision("20251110_0900").down_revisions[0]
    assert upgrade(neon.owner_dsn, HISTORY, target=below, release_id="r")


def test_what_tools_keep_is_not_the_applications_to_write(neon: ProvisionedDatabase) -> None:
    """The default privileges stand before Alembic's table and the schema of the product are made."""
    with psycopg.connect(neon.owner_dsn) as connection:
        given = "ALTER DEFAULT PRIVILEGES GRANT ALL ON {} TO {} WITH GRANT OPTION"
        for what in ("TABLES", "SEQUENCES"):
            connection.execute(sql.SQL(given).format(sql.SQL(what), sql.Identifier(neon.app)))
    upgrade(neon.owner_dsn, HISTORY, release_id="r")
    with psycopg.connect(neon.superuser_dsn) as connection:
        assert granted_writes(connection) == ()
        assert writable_by(connection, neon.app) == ()
        row = connection.execute("SELECT has_table_privilege(%s, 'alembic_version', 'SELECT')", (neon.app,)).fetchone()
    assert row == (True,)
    with (
        psycopg.connect(neon.app_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="alembic_version"),
    ):
        connection.execute("UPDATE alembic_version SET version_num = '20250122_1030'")
