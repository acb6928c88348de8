"""`pilotage reset`: development databases are made anew, and staging and production never are."""

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app
from flows.cli.console.database import owner_dsn
from migrations.apply.migrate import upgrade
from migrations.authoring.reset import rebuild
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.locks import migration_lock
from migrations.database.session import reader
from migrations.errors import AdvisoryLockHeld
from migrations.history.revisions import History


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))


def catalog(dsn: str) -> Catalog:
    with reader(dsn) as connection:
        return read_catalog(connection)


def run(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())


def nowhere(*arguments: object) -> None:
    """In the place of what tells where a session leads: it leads to no branch, and not to this machine."""


def reset(*arguments: str, answer: str | None = None) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["reset", *arguments], input=answer)
    return ran.exit_code, ran.stdout + ran.stderr


def extensions(database: ProvisionedDatabase) -> list[tuple[str, int]]:
    with psycopg.connect(database.superuser_dsn) as connection:
        return connection.execute("SELECT extname, oid::int FROM pg_extension ORDER BY 1").fetchall()


BY_HAND = """
CREATE SCHEMA other; CREATE TABLE other.things (id integer);
CREATE TABLE extra (id serial, owner uuid REFERENCES users);
CREATE VIEW seen AS SELECT email FROM users; CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
CREATE FUNCTION hand() RETURNS integer LANGUAGE sql RETURN 1; CREATE PROCEDURE doing() LANGUAGE sql AS 'SELECT 1';
CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN age AS integer; CREATE TYPE pair AS (a integer, b integer);
CREATE TYPE span AS RANGE (subtype = integer); CREATE SEQUENCE numbers;
CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer); CREATE STATISTICS pairs ON email, name FROM users;
CREATE COLLATION plain FROM "C"; CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
CREATE FUNCTION same(integer, integer) RETURNS boolean LANGUAGE sql RETURN $1 = $2;
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = same);
ALTER TABLE users DROP COLUMN bio CASCADE;
INSERT INTO users (email, "updatedAt") VALUES ('a@example.org', now())
"""
# Each of the second kind goes with its own of the first: more of them than a cursor fetches at once.
STANDING_ON_OTHERS = """
DO $$ BEGIN
FOR i IN 1..20 LOOP EXECUTE format('CREATE FUNCTION pick%s(int, int) RETURNS int LANGUAGE sql RETURN $1', i); END LOOP;
FOR i IN 1..20 LOOP EXECUTE format('CREATE AGGREGATE picked%1$s(int) (SFUNC = pick%1$s, STYPE = int)', i); END LOOP;
END $$
"""


def test_a_database_is_made_anew_whatever_stood_in_it(database: ProvisionedDatabase) -> None:
    upgrade(database.owner_dsn, History.load(), release_id="development")
    clean = catalog(database.owner_dsn)
    had = extensions(database)
    run(database.owner_dsn, BY_HAND)
    run(database.owner_dsn, STANDING_ON_OTHERS)
    code, said = reset("--yes", "--json", "--database-url", database.owner_dsn)
    assert code == 0, said
    assert json.loads(said)["applied"] == [one.id for one in History.load().revisions]
    assert difference(clean, catalog(database.owner_dsn)) == ()
    assert extensions(database) == had
    with psycopg.connect(database.app_dsn) as application:
        assert application.execute("SELECT count(*) FROM users").fetchone() == (0,)


def test_a_database_that_was_made_anew_gets_its_first_rows_where_asked(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPER_ADMIN_EMAIL", "first@example.com")
    code, said = reset("--yes", "--json", "--seed", "none", "--database-url", database.owner_dsn)
    assert code == 0, said
    document = json.loads(said)
    with psycopg.connect(database.app_dsn) as application:
        row = application.execute("SELECT count(*), bool_or(email = 'first@example.com') FROM users").fetchone()
    users = {one["table"]: one["rows"] for one in document["seeded"]["tables"]}["users"]
    assert row == (users, True)


def test_nothing_is_dropped_without_a_yes(database: ProvisionedDatabase) -> None:
    run(database.owner_dsn, "CREATE TABLE mine (id integer)")
    code, said = reset("--environment", "test", "--database-url", database.owner_dsn, answer="n\n")
    assert (code, "nothing was dropped" in said) == (1, True)
    assert reset("--json", "--database-url", database.owner_dsn)[0] == 1
    assert catalog(database.owner_dsn).of_kind("table")
    code, said = reset("--environment", "test", "--database-url", database.owner_dsn, answer="y\n")
    assert (code, "was made anew" in said) == (0, True), said


@pytest.mark.parametrize("environment", ["staging", "production", "prod"])
def test_only_development_and_test_can_be_named(database: ProvisionedDatabase, environment: str) -> None:
    code, said = reset("--environment", environment, "--yes", "--database-url", database.owner_dsn)
    assert (code, f"{environment} is never reset" in said) == (1, True)


def test_a_database_that_releases_changed_is_no_development_database(database: ProvisionedDatabase) -> None:
    upgrade(database.owner_dsn, History.load(), target="20250122_1030", release_id="20260101-120000-ab12")
    code, said = reset("--yes", "--database-url", database.owner_dsn)
    assert (code, "releases applied (20260101-120000-ab12)" in said) == (1, True)
    assert catalog(database.owner_dsn).of_kind("table")


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_environment_is_refused_however_it_is_called(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    dsn = owner_dsn(environment)
    before = catalog(dsn)
    branch = platform.env[f"NEON_{environment.upper()}_BRANCH"]
    code, said = reset("--yes", "--database-url", dsn)
    assert (code, f"is {branch}'s database, which is never reset" in said) == (1, True), said
    monkeypatch.setattr("flows.cli.console.disposable._branch", nowhere)
    code, said = reset("--yes", "--database-url", dsn.replace("127.0.0.1", "localhost"))
    assert (code, "which is never reset" in said or "that releases applied" in said) == (1, True), said
    assert difference(before, catalog(dsn)) == ()


def test_a_database_elsewhere_is_refused_unless_it_is_a_branch_of_the_project(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.cli.console.disposable.is_loopback", nowhere)
    code, said = reset("--yes", "--database-url", database.owner_dsn)
    assert (code, "could be anybody's" in said) == (1, True)


def test_rebuilding_waits_for_no_other_migration(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.authoring.reset.WAIT_S", 0)
    run(database.owner_dsn, "CREATE TABLE mine (id integer)")
    with migration_lock(database.owner_dsn, wait_s=0), pytest.raises(AdvisoryLockHeld):
        rebuild(database.owner_dsn, History.load())
    assert catalog(database.owner_dsn).of_kind("table")


STAYS = ("extension", "default privileges")
BESIDE_SCHEMAS = """
CREATE PUBLICATION everything; CREATE TABLE listed (id integer PRIMARY KEY); CREATE PUBLICATION part FOR TABLE listed;
SELECT lo_create(0) FROM generate_series(1, 1100);
COMMENT ON SCHEMA public IS 'ours'
"""
# Only a superuser makes these; who owns some of them then may drop them.
BY_SUPERUSER = """
CREATE FOREIGN DATA WRAPPER far; CREATE SERVER ours FOREIGN DATA WRAPPER far;
CREATE SERVER theirs FOREIGN DATA WRAPPER far;
CREATE USER MAPPING FOR PUBLIC SERVER ours; ALTER SERVER ours OWNER TO {owner};
CREATE FOREIGN TABLE away (id integer) SERVER ours; ALTER TABLE away OWNER TO {owner};
CREATE PUBLICATION theirs FOR ALL TABLES; SELECT lo_create(0) FROM generate_series(1, 3);
CREATE SUBSCRIPTION theirs CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false);
CREATE CAST (bigint AS point) WITH INOUT;
CREATE SCHEMA kept AUTHORIZATION {owner}; CREATE EXTENSION hstore SCHEMA kept;
ALTER DATABASE {database} SET application_name = 'a secret'; COMMENT ON DATABASE {database} IS 'ours';
"""


def test_what_stands_in_no_schema_goes_too_and_what_is_left_is_told_with_the_reason(
    database: ProvisionedDatabase,
) -> None:
    run(database.owner_dsn, BESIDE_SCHEMAS)
    run(database.superuser_dsn, BY_SUPERUSER.format(owner=database.owner, database=database.name))
    run(database.owner_dsn, "CREATE TABLE kept.mine (id integer)")
    with psycopg.connect(database.superuser_dsn) as connection:
        row = connection.execute("SELECT current_user").fetchone()
        assert row is not None
        superuser = row[0]
    try:
        code, said = reset("--yes", "--json", "--database-url", database.owner_dsn)
        assert code == 0, said
        left = {(one["kind"], one["name"]): one["reason"] for one in json.loads(said)["left"]}
        lines = reset("--yes", "--database-url", database.owner_dsn)[1].splitlines()
    finally:
        run(database.superuser_dsn, "ALTER SUBSCRIPTION theirs SET (slot_name = NONE); DROP SUBSCRIPTION theirs")
    owned, ours = f"{superuser} owns it", "it is the database's, and no revision's"
    privileges = "they are the database's, and no revision's"
    assert left == {
        ("publication", "theirs"): owned,
        ("server", "theirs"): owned,
        ("foreign data wrapper", "far"): owned,
        ("large objects", "3"): f"{superuser} owns them",
        ("subscription", "theirs"): "it has a slot on another server, which would be left there",
        ("cast", "(bigint AS point)"): "only the owner of one of its types may drop it",
        ("schema", "kept"): "it has an extension that is another role's",
        ("setting", "application_name"): ours,
        ("comment", "on the database"): ours,
        ("comment", "on the schema public"): ours,
        **{one: privileges if one[0] == "default privileges" else ours for one in left if one[0] in STAYS},
    }
    assert ("extension", "hstore") in left
    assert "a secret" not in str(left)
    assert "left: subscription theirs: it has a slot on another server, which would be left there" in lines
    with psycopg.connect(database.superuser_dsn) as connection:
        assert connection.execute("SELECT to_regclass('kept.mine') IS NULL, count(*) FROM pg_extension").fetchone() == (
            True,
            len(extensions(database)),
        )


def test_an_event_trigger_that_refuses_every_drop_is_dropped_first_where_it_is_the_owner_s(
    database: ProvisionedDatabase,
) -> None:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("CREATE SCHEMA guard")
        superuser.execute(
            "CREATE FUNCTION guard.cry() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
        )
        superuser.execute("CREATE EVENT TRIGGER cry ON sql_drop EXECUTE FUNCTION guard.cry()")
        code, said = reset("--yes", "--database-url", database.owner_dsn)
        assert code == 1, said
        rebuilt = rebuild(database.superuser_dsn, History.load())
        assert superuser.execute("SELECT count(*) FROM pg_event_trigger").fetchone() == (0,)
    assert [one for one in rebuilt.left if one.kind == "event trigger"] == []
