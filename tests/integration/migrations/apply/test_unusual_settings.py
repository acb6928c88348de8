"""Roles, databases and environments that set what a session's meaning rests on: ours mean the same in all of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import downgrade, upgrade
from migrations.catalog.contents import difference, read_catalog
from migrations.checks.integrity import run_checks
from migrations.database.session import connect, reader
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.revisions import History, history_state
from migrations.plan.planned_revisions import make_plan
from migrations.restore.receipt_of_writes import receipt
from migrations.restore.restore_point import seal

Patch = pytest.MonkeyPatch

MEANINGS = {
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "exit_on_error": "on",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "backslash_quote": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "xmloption": "document",
    "xmlbinary": "hex",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-14",
    "client_encoding": "LATIN1",
    "row_security": "on",
}
LIMITS = {
    "statement_timeout": "1500ms",
    "lock_timeout": "1400ms",
    "idle_in_transaction_session_timeout": "1300ms",
    "idle_session_timeout": "1200ms",
    "transaction_timeout": "1100ms",
}
WAYS = ["role", "role in database", "database", "PGOPTIONS"]
SLEEPS = "SELECT pg_sleep(2)"
ENV = """
import os
from alembic import context
from sqlalchemy import engine_from_config, pool

kept = {name: value for name, value in os.environ.items() if name.startswith("PG")}
engine = engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, version_table_schema=kept.get("PGVERSIONS"))
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.fixture
def put(database: ProvisionedDatabase, monkeypatch: Patch) -> Callable[[str, Mapping[str, str]], None]:
    """Set settings for all sessions of the owner that begin from now on."""

    def do(way: str, settings: Mapping[str, str]) -> None:
        names = {"owner": sql.Identifier(database.owner), "database": sql.Identifier(database.name)}
        of: dict[str, LiteralString] = {
            "role": "ROLE {owner}",
            "role in database": "ROLE {owner} IN DATABASE {database}",
            "database": "DATABASE {database}",
        }
        with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
            # Without a limit of its own none ends it, and it may write.
            superuser.execute("SET default_transaction_read_only = off")
            known = {str(row[0]) for row in superuser.execute("SELECT name FROM pg_settings")}
            if way == "PGOPTIONS":
                texts = (f"-c {n}={v.replace(' ', chr(92) + ' ')}" for n, v in settings.items() if n in known)
                monkeypatch.setenv("PGOPTIONS", " ".join(texts))
                return
            for name, value in settings.items():
                if name in known:
                    whose = sql.SQL(of[way]).format(**names)
                    # A search_path is a list of names; in all else a comma is part of the value.
                    parts = value.split(", ") if name == "search_path" else [value]
                    set_to = sql.SQL(", ").join(map(sql.Literal, parts))
                    superuser.execute(sql.SQL("ALTER {} SET {} = {}").format(whose, sql.Identifier(name), set_to))

    return do


def revisions(folder: Path, *bodies: str) -> History:
    """A line of revisions r1, r2, …, each with what it does."""
    folder.mkdir(exist_ok=True)
    for number, body in enumerate(bodies, 1):
        below = f'"r{number - 1}"' if number > 1 else None
        (folder / f"r{number}.py").write_text(
            f'from alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
            f"def upgrade():\n    {body}\n\ndef downgrade():\n    pass\n"
        )
    return History.load(folder)


def project(tmp_path: Path, *bodies: str) -> History:
    """The same with an env.py that is not ours."""
    (tmp_path / "versions").mkdir()
    revisions(tmp_path / "versions", *bodies)
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    return History.of_project(ForeignEnvironment(tmp_path / "alembic.ini", None, tmp_path))


def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, options="-c client_encoding=UTF8") as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_catalogue_is_the_same_whatever_is_set(
    database: ProvisionedDatabase, put: Callable[[str, Mapping[str, str]], None]
) -> None:
    upgrade(database.owner_dsn, History.load(), release_id="r")
    with psycopg.connect(database.owner_dsn) as owner:
        owner.execute(
            r"""CREATE TABLE odd ("É\" text DEFAULT 'a\b', at timestamptz DEFAULT '2024-02-01 10:00+00', f float8
            DEFAULT 0.1234567890123456789, b bytea DEFAULT '\x00ff', i interval DEFAULT '1 day 02:00');
            CREATE VIEW seen AS SELECT "É\" = 'a\b' AS x, at > '2024-01-02' AS y FROM odd;
            COMMENT ON TABLE odd IS 'back\slash'"""
        )
    with reader(database.owner_dsn) as connection:
        before = read_catalog(connection)
    for way in WAYS:
        put(way, MEANINGS)
        with reader(database.owner_dsn) as connection:
            assert difference(before, read_catalog(connection)) == ()
    assert seal(database.owner_dsn).row_counts["odd"] == 0


@pytest.mark.parametrize("way", WAYS)
def test_what_is_planned_applied_sealed_and_counted_is_the_same_whatever_is_set(
    database: ProvisionedDatabase, put: Callable[[str, Mapping[str, str]], None], tmp_path: Path, way: str
) -> None:
    put(way, MEANINGS)
    history = revisions(
        tmp_path / "r",
        'op.execute("CREATE TABLE t (id float8 PRIMARY KEY, at timestamptz DEFAULT now(), raw bytea, n int)")',
        'op.backfill("t", {"n": "1"})',
        "with op.get_context().autocommit_block():\n        op.execute('CREATE INDEX CONCURRENTLY t_n ON t (n)')",
    )
    with reader(database.owner_dsn) as connection:
        assert history_state(connection, history).current == ()
    plan = make_plan(database.owner_dsn, history, current=())
    assert (plan.source, plan.note) == ("recorded", "")
    upgrade(database.owner_dsn, history, target="r1", release_id="r")
    with connect(database.owner_dsn) as owner:
        owner.execute("INSERT INTO t (id, raw) SELECT 0.1 + g * 1e-15, '\\x00ff' FROM generate_series(1, 400) g")
    upgrade(database.owner_dsn, history, release_id="r")
    point = seal(database.owner_dsn)
    assert point.row_counts["t"] == 400
    with connect(database.owner_dsn) as owner:
        assert owner.execute("SELECT count(*) FROM t WHERE n = 1").fetchone() == (400,)
        owner.execute("INSERT INTO t (id) VALUES (1), (2)")
    assert [(one.table, one.inserted) for one in receipt(database.owner_dsn, database.owner_dsn, point).tables] == []
    with reader(database.owner_dsn) as connection:
        state, promised = history_state(connection, history), read_catalog(connection)
    assert (state.current, state.edited, state.deleted) == (("r3",), (), ())
    results = run_checks(database.owner_dsn, promised=promised, row_counts=point.row_counts)
    assert [one for one in results if one.violations] == []
    downgrade(database.owner_dsn, history, "base")


def test_names_of_others_are_never_taken_for_postgres_own(
    database: ProvisionedDatabase, put: Callable[[str, Mapping[str, str]], None], tmp_path: Path
) -> None:
    history = revisions(tmp_path / "r", 'op.execute("CREATE TABLE t (id int)")')
    upgrade(database.owner_dsn, history, release_id="r")
    with reader(database.owner_dsn) as connection:
        before = read_catalog(connection)
    with psycopg.connect(database.superuser_dsn) as superuser:
        superuser.execute(
            """CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC;
            CREATE FUNCTION app.to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL::regclass';
            CREATE FUNCTION app.quote_ident(text) RETURNS text LANGUAGE sql AS $$SELECT 'other'::text$$;
            CREATE FUNCTION app.pg_try_advisory_lock(bigint) RETURNS bool LANGUAGE sql AS 'SELECT false';
            CREATE FUNCTION app.set_config(text, text, bool) RETURNS text LANGUAGE sql AS 'SELECT 1/0';
            CREATE TABLE app.pg_class AS SELECT * FROM pg_catalog.pg_class LIMIT 0;
            CREATE TABLE app.pg_namespace AS SELECT * FROM pg_catalog.pg_namespace LIMIT 0;
            GRANT SELECT ON ALL TABLES IN SCHEMA app TO PUBLIC"""
        )
    put("role", {"search_path": "app, public, pg_catalog"})
    with reader(database.owner_dsn) as connection:
        assert history_state(connection, history).current == ("r1",)
        found = difference(before, read_catalog(connection))
    assert {one.name.partition(".")[0].partition(" ")[0] for one in found} <= {"app", "function", "owner"}
    assert upgrade(database.owner_dsn, history, release_id="r") == ()
    assert seal(database.owner_dsn).row_counts["t"] == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [revisions, project])
def test_what_a_revision_makes_lands_where_the_user_has_set_it(
    database: ProvisionedDatabase,
    put: Callable[[str, Mapping[str, str]], None],
    tmp_path: Path,
    way: str,
    make: Callable[..., History],
) -> None:
    with psycopg.connect(database.owner_dsn) as owner:
        owner.execute("CREATE SCHEMA app")
    put(way, {"search_path": "app, public"})
    history = make(tmp_path, 'op.execute("CREATE TABLE t (id int)")', 'op.execute("ALTER TABLE t ADD n int")')
    upgrade(database.owner_dsn, history, release_id="r")
    assert rows(
        database.superuser_dsn, "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 't'"
    ) == [("app",)]
    with reader(database.owner_dsn) as connection:
        assert history_state(connection, history).current == ("r2",)


def test_a_foreign_env_py_finds_libpqs_environment_as_the_user_has_set_it(
    database: ProvisionedDatabase, tmp_path: Path, monkeypatch: Patch
) -> None:
    given = {"PGOPTIONS": "-c work_mem=7MB", "PGAPPNAME": "theirs", "PGDATABASE": "other", "PGHOST": "192.0.2.1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    history = project(tmp_path, "op.execute(\"CREATE TABLE t AS SELECT current_setting('work_mem') AS w\")")
    env = tmp_path / "env.py"
    env.write_text(env.read_text() + f"assert {{name: kept.get(name) for name in {[*given]}}} == {given}, kept\n")
    upgrade(database.owner_dsn, history, release_id="r")
    assert rows(database.owner_dsn, "SELECT w FROM t") == [("7MB",)]


def test_options_of_a_connection_string_reach_a_foreign_env_py(database: ProvisionedDatabase, tmp_path: Path) -> None:
    with psycopg.connect(database.owner_dsn) as owner:
        owner.execute("CREATE SCHEMA app")
    history = project(tmp_path, "op.execute(\"CREATE TABLE t AS SELECT current_setting('work_mem') AS w\")")
    env = tmp_path / "env.py"
    env.write_text(
        "import os, psycopg\n"
        "with psycopg.connect(os.environ['DATABASE_URL'].replace('+psycopg', '')) as plain:\n"
        "    assert plain.execute('SHOW work_mem').fetchone() == ('7MB',)\n" + env.read_text()
    )
    dsn = make_conninfo(database.owner_dsn, options="-c work_mem=7MB -c search_path=app")
    upgrade(dsn, history, release_id="r")
    assert rows(database.owner_dsn, "SELECT w FROM app.t") == [("7MB",)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [revisions, project])
def test_no_limit_of_time_that_others_have_set_ends_a_session_of_ours(
    database: ProvisionedDatabase,
    put: Callable[[str, Mapping[str, str]], None],
    tmp_path: Path,
    way: str,
    make: Callable[..., History],
) -> None:
    put(way, LIMITS)
    history = make(
        tmp_path,
        f'op.execute("RESET ALL")\n    op.execute("{SLEEPS}")' if make is revisions else f'op.execute("{SLEEPS}")',
        f'import time; time.sleep(2)\n    op.execute("{SLEEPS}")\n    op.execute("CREATE TABLE t (id int)")',
    )
    upgrade(database.owner_dsn, history, release_id="r", statement_timeout_s=60)
    assert rows(database.superuser_dsn, "SELECT version_num FROM alembic_version") == [("r2",)]


def test_a_limit_of_time_that_a_revision_sets_holds_for_it_alone(
    database: ProvisionedDatabase, put: Callable[[str, Mapping[str, str]], None], tmp_path: Path
) -> None:
    put("role", LIMITS)
    name = "idle_in_transaction_session_timeout"
    note = f"op.execute(\"INSERT INTO seen SELECT current_setting('{name}')\")"
    history = revisions(
        tmp_path,
        'op.execute("CREATE TABLE seen (t text)")',
        f"op.execute(\"SET {name} = '77s'\")\n    {note}\n    {note}",
        f"op.execute(\"SELECT set_config('{name}', '55s', false)\")\n    {note}\n    {note}",
        note,
    )
    upgrade(database.owner_dsn, history, release_id="r")
    with connect(database.owner_dsn) as owner:
        found = [row[0] for row in owner.execute("SELECT t FROM seen").fetchall()]
    assert found == ["77s", "77s", "55s", "55s", "0"]
