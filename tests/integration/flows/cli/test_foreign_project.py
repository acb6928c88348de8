"""Alembic projects that are not ours: their env.py as it is, their branches, their version table."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.apply.migrate import downgrade, upgrade
from migrations.database.session import reader
from migrations.errors import (
    DatabaseUnreachable,
    HistoryUnreadable,
    LockBudgetExceeded,
    NotKept,
    RevisionFailed,
    WorksElsewhere,
    describe_database,
)
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import History, history_state
from migrations.plan.planned_revisions import make_plan
from migrations.rehearsal.dress_rehearsal import rehearse

SYNC = """
from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config
section = config.get_section(config.config_ini_section)
engine = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
FROM_A_VARIABLE = """
import os
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["APP_DB"], poolclass=pool.NullPool)
with engine.connect() as connection:
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS meta")
    connection.commit()
    context.configure(connection=connection, version_table="Applied", version_table_schema="meta")
    with context.begin_transaction():
        context.run_migrations()
"""
ASYNC = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""
ELSEWHERE = SYNC.replace("config.get_section(config.config_ini_section)", '{"sqlalchemy.url": "OTHER"}')
INI = "[alembic]\nscript_location = %(here)s/db\nsqlalchemy.url = postgresql+psycopg://nobody@localhost/nothing\n"

# A branch point, two branches, one that depends on the other's, and their merge.
BRANCHED = {
    "aaa": (None, None, "CREATE TABLE a (id int)", "DROP TABLE a"),
    "bbb": ('"aaa"', None, "CREATE TABLE b (id int)", "DROP TABLE b"),
    "ccc": ('"aaa"', '"bbb"', "ALTER TABLE b ADD COLUMN c int", "ALTER TABLE b DROP COLUMN c"),
    "ddd": ('("bbb", "ccc")', None, "CREATE TABLE d (id int)", "DROP TABLE d"),
}

Make = Callable[..., History]


def write(folder: Path, revision: str, down: str | None, depends: str | None, up: str, back: str) -> None:
    (folder / f"{revision}_step.py").write_text(
        f'"""Step {revision}."""\nfrom alembic import op\nrevision = "{revision}"\ndown_revision = {down}\n'
        f'branch_labels = None\ndepends_on = {depends}\n\n\ndef upgrade():\n    op.execute("""{up}""")\n\n\n'
        f'def downgrade():\n    op.execute("""{back}""")\n'
    )


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Write a project; its alembic.ini."""

    def make(env: str, revisions: Mapping[str, tuple[str | None, str | None, str, str]] = BRANCHED) -> Path:
        versions = tmp_path / "db" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        (tmp_path / "db" / "env.py").write_text(env)
        for revision, parts in revisions.items():
            write(versions, revision, *parts)
        (tmp_path / "alembic.ini").write_text(INI)
        return tmp_path / "alembic.ini"

    return make


def history(ini: Path, url_variable: str = "DATABASE_URL") -> History:
    return History.of_project(ForeignEnvironment(ini, None, ini.parent, url_variable))


def asked(database: ProvisionedDatabase, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.owner_dsn) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("env", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_foreign_history_with_branches_is_applied_and_taken_back(
    env: str, database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    read = history(project(env))
    assert ([one.id for one in read.revisions], read.heads) == (["aaa", "bbb", "ccc", "ddd"], ("ddd",))
    done = upgrade(database.owner_dsn, read, release_id="r")
    assert [(one.revision, one.recorded) for one in done] == [(one, False) for one in ("aaa", "bbb", "ccc", "ddd")]
    assert asked(database, "SELECT version_num FROM alembic_version") == [("ddd",)]
    assert asked(database, "SELECT nspname FROM pg_namespace WHERE nspname = 'pilotage'") == []
    assert [one.revision for one in downgrade(database.owner_dsn, read, "base")] == ["ddd", "ccc", "bbb", "aaa"]
    assert asked(database, "SELECT to_regclass('a')") == [(None,)]


def test_what_env_py_leaves_in_its_pool_is_no_migration(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    pooled = SYNC.replace(", poolclass=pool.NullPool", "")
    upgrade(
        database.owner_dsn, history(project(f"{pooled}\nimport builtins\nbuiltins.kept = engine\n")), release_id="r"
    )
    left = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert asked(database, left) == []


def test_each_revision_is_a_transaction_of_its_own(database: ProvisionedDatabase, project: Callable[..., Path]) -> None:
    broken = {**BRANCHED, "ddd": ('("bbb", "ccc")', None, "SELECT 1 / 0", "SELECT 1")}
    with pytest.raises(RevisionFailed, match="division by zero"):
        upgrade(database.owner_dsn, history(project(SYNC, broken)), release_id="r")
    assert sorted(asked(database, "SELECT version_num FROM alembic_version")) == [("bbb",), ("ccc",)] or asked(
        database, "SELECT version_num FROM alembic_version"
    ) == [("ccc",)]
    assert asked(database, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'b'") == [(2,)]


def test_its_version_table_may_be_anywhere(database: ProvisionedDatabase, project: Callable[..., Path]) -> None:
    read = history(project(FROM_A_VARIABLE), "APP_DB")
    upgrade(database.owner_dsn, read, release_id="r")
    assert asked(database, 'SELECT version_num FROM meta."Applied"') == [("ddd",)]
    located = with_version_table(database.owner_dsn, read)
    assert located.version_table == 'meta."Applied"'
    with reader(database.owner_dsn) as connection:
        state = history_state(connection, located)
    assert (state.current, state.pending, state.edited) == (("ddd",), (), None)


def test_an_env_py_that_works_on_another_database_is_found_out_before_anything_runs(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    other = f"{database.superuser_dsn.rsplit('/', 1)[0]}/postgres"
    ini = project(ELSEWHERE.replace("OTHER", other.replace("://", "+psycopg://")))
    with pytest.raises(WorksElsewhere, match="works on another database"):
        upgrade(database.owner_dsn, history(ini), release_id="r")
    with psycopg.connect(other) as connection:
        assert connection.execute("SELECT to_regclass('alembic_version'), to_regclass('a')").fetchone() == (None, None)


def test_looking_at_a_project_writes_nothing(database: ProvisionedDatabase, project: Callable[..., Path]) -> None:
    code, told = run("status", "--database-url", database.owner_dsn, "--config", str(project(SYNC)), "--json")
    assert (code, json.loads(told)["pending"]) == (0, ["aaa", "bbb", "ccc", "ddd"])
    assert asked(database, "SELECT to_regclass('alembic_version')") == [(None,)]


def test_one_transaction_that_env_py_began_is_all_or_nothing(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    read = history(project(SYNC.replace("engine.connect()", "engine.begin()")))
    told: list[str] = []
    with psycopg.connect(database.owner_dsn, autocommit=True) as other:
        other.execute("CREATE TABLE d (id int)")
        with pytest.raises(RevisionFailed, match='relation "d" already exists'):
            upgrade(database.owner_dsn, read, release_id="r", on_event=lambda event: told.append(event.revision))
        assert (told, asked(database, "SELECT to_regclass('a')")) == ([], [(None,)])
        other.execute("DROP TABLE d")
    done = upgrade(database.owner_dsn, read, release_id="r")
    assert [one.revision for one in done] == ["aaa", "bbb", "ccc", "ddd"]
    assert asked(database, "SELECT version_num FROM alembic_version") == [("ddd",)]


def test_an_env_py_that_does_not_commit_is_found_out(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    env = SYNC.replace("    context.configure", "    connection.exec_driver_sql('SELECT 1')\n    context.configure")
    with pytest.raises(NotKept, match="does not commit"):
        upgrade(database.owner_dsn, history(project(env)), release_id="r")


def test_an_env_py_leaves_logging_and_output_to_who_runs_it(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    loud = "from logging.config import fileConfig\nfileConfig(context.config.config_file_name)\nprint('hello')\n"
    ini = project(SYNC.replace("config = context.config", f"config = context.config\n{loud}"))
    code, told = run("apply", "--database-url", database.owner_dsn, "--config", str(ini), "--json")
    done = CliRunner().invoke(app, ["status", "--database-url", database.owner_dsn, "--config", str(ini), "--json"])
    assert (code, done.exit_code, json.loads(done.stdout)["current"]) == (0, 0, ["ddd"])
    assert "hello" in told


def test_a_project_is_found_by_its_pyproject_and_its_folders_of_revisions(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    ini = project(SYNC)
    (ini.parent / "more").mkdir()
    write(ini.parent / "more", "eee", '"ddd"', None, "CREATE TABLE e (id int)", "DROP TABLE e")
    folders = 'script_location = "%(here)s/db"\nversion_locations = ["%(here)s/db/versions", "%(here)s/more"]\n'
    (ini.parent / "pyproject.toml").write_text(f"[tool.alembic]\n{folders}")
    ini.write_text("[alembic]\nsqlalchemy.url = driver://user:pass@localhost/dbname\n")
    for config in (ini, ini.with_name("pyproject.toml")):
        code, told = run("apply", "--database-url", database.owner_dsn, "--config", str(config))
        assert (code, asked(database, "SELECT version_num FROM alembic_version")) == (0, [("eee",)]), told


def test_a_lock_is_not_waited_for_in_a_foreign_project_either(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    read = history(project(SYNC))
    upgrade(database.owner_dsn, read, target="aaa", release_id="r")
    write(read.folders[0], "eee", '"ddd"', None, "ALTER TABLE a ADD COLUMN e int", "SELECT 1")
    with psycopg.connect(database.owner_dsn) as other:
        other.execute("SELECT * FROM a")
        with pytest.raises(LockBudgetExceeded, match="SELECT \\* FROM a"):
            upgrade(
                database.owner_dsn, history(read.folders[0].parents[1] / "alembic.ini"), release_id="r", budget_s=0.5
            )


def test_an_env_py_that_raises_is_an_error_that_says_so(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    with pytest.raises(HistoryUnreadable, match="KeyError: 'SECRET_KEY'"):
        upgrade(database.owner_dsn, history(project("import os\nos.environ['SECRET_KEY']")), release_id="r")


NOWHERE = "postgresql://owner:c4n4ry@127.0.0.1:9/gone"
OF_ITS_OWN = SYNC.replace("config.get_section(config.config_ini_section)", f'{{"sqlalchemy.url": {NOWHERE!r}}}')


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_database_that_env_py_does_not_reach_is_named_without_its_password(
    project: Callable[..., Path], driver: str
) -> None:
    ini = project(SYNC if driver == "psycopg" else ASYNC)
    ini.write_text(INI.replace("+psycopg", f"+{driver}"))
    acts: list[Callable[[], object]] = [
        lambda: with_version_table(NOWHERE, history(ini)),
        lambda: upgrade(NOWHERE, history(ini), release_id="r"),
    ]
    for act in acts:
        with pytest.raises(
            DatabaseUnreachable, match=r"gone on 127.0.0.1:9 does not answer: .*; check that it"
        ) as caught:
            act()
        assert "c4n4ry" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "why"),
    [
        pytest.param("", "refused", id="its server is down"),
        pytest.param(
            "import sys\ntry:\n    BODY\nexcept Exception:\n    sys.exit(1)", "refused", id="it gives up itself"
        ),
    ],
)
def test_a_database_of_its_own_that_env_py_does_not_reach_is_named_with_the_way_to_another(
    database: ProvisionedDatabase, project: Callable[..., Path], env: str, why: str
) -> None:
    of_its_own = OF_ITS_OWN.replace("postgresql:", "postgresql+psycopg:")
    ini = project(env.replace("BODY", of_its_own.strip().replace("\n", "\n    ")) if env else of_its_own)
    code, told = run("status", "--database-url", database.owner_dsn, "--config", str(ini))
    said = " ".join(told.split())
    assert code == 1
    assert "gone on 127.0.0.1:9 does not answer" in said
    assert why in said
    assert f"though it was told {describe_database(database.owner_dsn)}: let it read sqlalchemy.url" in said
    assert "cannot be read" not in said
    assert "c4n4ry" not in said
    with pytest.raises(DatabaseUnreachable, match=r"gone on 127.0.0.1:9 does not answer"):
        upgrade(database.owner_dsn, history(ini), release_id="r")


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_server_that_lets_env_py_not_in_is_named_with_its_words(
    database: ProvisionedDatabase, project: Callable[..., Path], wrong: str
) -> None:
    given = {"password": "c4n4ry"} if wrong == "password" else {"dbname": "nobodys"}
    for env in (SYNC, ASYNC):
        with pytest.raises(DatabaseUnreachable, match=f"does not answer: .*{wrong}.*; check that it runs") as caught:
            with_version_table(make_conninfo(database.owner_dsn, **given), history(project(env)))
        assert "c4n4ry" not in str(caught.value)


def test_a_history_of_more_than_a_hundred_revisions_is_planned_and_applied(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    many = {
        f"r{n:03}": (f'"r{n - 1:03}"' if n else None, None, f"CREATE TABLE t{n} (id int)", f"DROP TABLE t{n}")
        for n in range(120)
    }
    read = history(project(SYNC, many))
    plan = make_plan(database.owner_dsn, read, current=())
    assert len(plan.revisions) == 120
    assert plan.revisions[-1].downgrade is not None
    assert [one.sql for one in plan.revisions[7].statements] == ["CREATE TABLE t7 (id int)"]
    assert len(upgrade(database.owner_dsn, read, release_id="r")) == 120


LONG = """
from alembic import op
import sqlalchemy as sa
revision = {id!r}
down_revision = {down!r}
branch_labels = None
depends_on = None

def upgrade():
{up}

def downgrade():
{back}
"""


def long_history(versions: Path) -> None:
    """A chain of 110 revisions with a branch and a merge, two schemas, data, and two downgrades that do not return."""
    things = "sa.table('things', sa.column('id', sa.Integer), sa.column('name', sa.Text), schema='shop')"
    steps: dict[str, tuple[str, str]] = {
        "f000": (
            (
                "op.execute('CREATE SCHEMA shop')\n    op.create_table('things', sa.Column('id', sa.Integer,"
                " primary_key=True), sa.Column('name', sa.Text), schema='shop')"
            ),
            "op.drop_table('things', schema='shop')\n    op.execute('DROP SCHEMA shop')",
        ),
        "f001": (
            f"op.bulk_insert({things}, [{{'id': n, 'name': 'thing'}} for n in range(50)])",
            "op.execute('DELETE FROM shop.things')",
        ),
        "f002": (
            (
                "rows = op.get_bind().execute(sa.text('SELECT id FROM shop.things')).fetchall()\n    for row in rows:\n"
                "        op.get_bind().execute(sa.text('UPDATE shop.things SET name = :n WHERE id = :i'),"
                " {'n': f'thing {row.id}', 'i': row.id})"
            ),
            "op.execute(\"UPDATE shop.things SET name = 'thing'\")",
        ),
        "f050": ("op.execute('CREATE INDEX forgotten ON shop.things (name)')", "pass"),
        "f080": (
            "op.add_column('things', sa.Column('kept', sa.Integer), schema='shop')",
            "op.alter_column('things', 'kept', new_column_name='lost', schema='shop')",
        ),
    }
    for n in range(110):
        name = f"f{n:03}"
        down: object = f"f{n - 1:03}" if n else None
        # A branch beside f101, which f103 merges.
        down = {102: "f100", 103: ("f101", "f102")}.get(n, down)
        up, back = steps.get(name, (f"op.execute('CREATE TABLE public.t{n} (id int)')", f"op.drop_table('t{n}')"))
        (versions / f"{name}_step.py").write_text(LONG.format(id=name, down=down, up=f"    {up}", back=f"    {back}"))


def test_a_long_history_of_others_is_rehearsed_and_what_does_not_return_is_named(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    ini = project(FROM_A_VARIABLE, {})
    long_history(ini.parent / "db" / "versions")
    read = history(ini, "APP_DB")
    upgrade(database.owner_dsn, read, target="f001", release_id="r")
    plan = make_plan(database.owner_dsn, with_version_table(database.owner_dsn, read), current=("f001",))
    assert len(plan.revisions) == 108
    evidence = rehearse(database.owner_dsn, read, plan, None)
    assert [one.revision for one in evidence.revisions] == [one.id for one in plan.revisions]
    assert evidence.way_back.by_revision == (
        "f080: column shop.things.lost is left over",
        "f050: index shop.forgotten is left over",
    )
    assert evidence.way_back.rows == ()
    assert not evidence.way_back.lossless


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


def test_a_labelled_branch_is_applied_with_what_it_depends_on(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    two = {
        "aaa": (None, None, "SELECT 1", "SELECT 1"),
        "bbb": ('"aaa"', None, "SELECT 1", "SELECT 1"),
        "sss": (None, '"aaa"', "SELECT 1", "SELECT 1"),
        "ttt": ('"sss"', None, "SELECT 1", "SELECT 1"),
    }
    ini = project(SYNC, two)
    first = ini.parent / "db" / "versions" / "sss_step.py"
    first.write_text(first.read_text().replace("branch_labels = None", 'branch_labels = ("shop",)'))
    url = ("--database-url", database.owner_dsn, "--config", str(ini))
    code, told = run("apply", *url)
    assert (code, "has 2 heads" in told) == (1, True)
    code, told = run("apply", *url, "--target", "shop@head", "--json")
    assert code == 0
    assert [one["revision"] for one in json.loads(told[told.index("[") :])] == ["aaa", "sss", "ttt"]
    assert [one.revision for one in upgrade(database.owner_dsn, history(ini), target="heads", release_id="r")] == [
        "bbb"
    ]


def test_records_of_our_own_history_are_nothing_to_a_foreign_one(
    database: ProvisionedDatabase, project: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    write(tmp_path / "own", "r1", None, None, "SELECT 1", "SELECT 1")
    upgrade(database.owner_dsn, History.load(tmp_path / "own"), release_id="r")
    located = with_version_table(database.owner_dsn, history(project(FROM_A_VARIABLE), "APP_DB"))
    with reader(database.owner_dsn) as connection:
        state = history_state(connection, located)
    assert (state.current, state.deleted) == ((), ())


def test_status_names_what_is_wrong_with_what_to_do(
    database: ProvisionedDatabase, project: Callable[..., Path]
) -> None:
    ini = project(SYNC)
    url = ("--database-url", database.owner_dsn, "--config", str(ini))
    assert run("apply", *url)[0] == 0
    assert run("status", *url)[0] == 0
    versions = ini.parent / "db" / "versions"
    write(versions, "eee", '"ddd"', None, "SELECT 1", "SELECT 1")
    code, told = run("status", *url, "--json")
    assert (code, json.loads(told)["pending"]) == (0, ["eee"])
    write(versions, "fff", '"ddd"', None, "SELECT 1", "SELECT 1")
    code, told = run("status", *url)
    assert code == 1
    assert "the history diverged: it has 2 heads" in told
    assert "pilotage merge" in told
    (versions / "ddd_step.py").unlink()
    code, told = run("status", *url)
    assert code == 1
    assert "revision eee stands on ddd, and no file has that revision" in told
    for name in ("eee", "fff"):
        (versions / f"{name}_step.py").unlink()
    code, told = run("status", *url, "--json")
    (finding,) = [one for one in json.loads(told)["findings"] if one["subject"] == "ddd"]
    assert code == 1
    assert finding["detail"] == "stands in the database, but this commit has no such revision"


def test_status_of_our_own_history_names_edited_and_deleted_files(
    database: ProvisionedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, down in (("r1", None), ("r2", '"r1"')):
        write(tmp_path, name, down, None, "SELECT 1", "SELECT 1")
    monkeypatch.setattr("migrations.history.revisions.VERSIONS", tmp_path)
    url = ("--database-url", database.owner_dsn)
    assert run("apply", *url)[0] == 0
    (tmp_path / "r1_step.py").write_text((tmp_path / "r1_step.py").read_text() + "# edited\n")
    code, told = run("status", *url)
    assert code == 1
    assert "r1_step.py changed after it was applied" in told
    (tmp_path / "r2_step.py").unlink()
    code, told = run("status", *url, "--json")
    found = {(one["subject"], one["detail"]) for one in json.loads(told)["findings"]}
    assert ("r2", "was applied, but its file is gone") in found


def test_history_shows_branch_points_merges_and_heads(project: Callable[..., Path]) -> None:
    ini = project(SYNC)
    code, told = run("history", "--config", str(ini))
    assert code == 0
    assert [word for word in ("branch point", "merge", "head") if word not in told] == []
    code, told = run("history", "--script-location", str(ini.parent / "db"), "--json")
    assert [one["down_revisions"] for one in json.loads(told)["revisions"]] == [
        [],
        ["aaa"],
        ["aaa", "bbb"],
        ["bbb", "ccc"],
    ]


def test_a_missing_parent_is_named_before_a_history_is_used(project: Callable[..., Path]) -> None:
    ini = project(SYNC)
    (ini.parent / "db" / "versions" / "aaa_step.py").unlink()
    for command in (("history",), ("apply", "--database-url", "postgresql://nobody@127.0.0.1:1/nothing")):
        code, told = run(*command, "--config", str(ini))
        assert code == 1
        assert "bbb_step.py: revision bbb stands on aaa, and no file has that revision" in " ".join(told.split())


def test_parents_in_folders_below_are_found(project: Callable[..., Path]) -> None:
    ini = project(SYNC)
    versions = ini.parent / "db" / "versions"
    (versions / "2024").mkdir()
    (versions / "aaa_step.py").rename(versions / "2024" / "aaa_step.py")
    ini.write_text(f"{INI}recursive_version_locations = true\n")
    code, told = run("history", "--config", str(ini), "--json")
    assert code == 0, told
    assert [one["revision"] for one in json.loads(told)["revisions"]] == ["aaa", "bbb", "ccc", "ddd"]
