"""Applying, killed at many moments: a second apply finishes the plan, and the result is that of an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, free_port, remove_data_root
from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.apply.errors import HalfApplied, IndexInTheWay
from migrations.apply.migrate import Progress, downgrade, upgrade
from migrations.authoring.resolve import mark_revision
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.locks import MIGRATING
from migrations.database.session import reader
from migrations.errors import DatabaseUnreachable, MigrationError, RevisionFailed
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.revisions import History

APPLY = """
import json, sys
from pathlib import Path
from migrations.apply.migrate import upgrade
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.revisions import History
given = json.loads(sys.stdin.read())
folder = Path(given["folder"])
foreign = ForeignEnvironment(None, folder, folder) if given["foreign"] else None
history = History.of_project(foreign) if foreign else History.load(folder)
print("begins", flush=True)
upgrade(given["dsn"], history, release_id="killed", on_event=lambda event: print(event.kind, flush=True))
print("done", flush=True)
"""
LOCKS = b"""
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
OUTSIDE = """with op.get_context().autocommit_block():
        """
# Some wait a little, so that a moment falls into them as well as between them.
WITH_ROWS = """op.execute("CREATE TABLE a (id int PRIMARY KEY, n int)")
    op.execute("INSERT INTO a SELECT g, g % 7 FROM generate_series(1, 20000) g")"""
SEVERAL = """op.execute("ALTER TABLE a ADD COLUMN t text")
    op.execute("SELECT pg_sleep(0.05)")
    op.execute("UPDATE a SET t = 'x' WHERE id < 500")
    op.execute("CREATE TABLE b (id int)")"""
BUILD = OUTSIDE + 'op.execute("CREATE INDEX CONCURRENTLY a_n_idx ON a (n) WHERE n > 0")'
MIXED = """op.execute("ALTER TABLE b ADD COLUMN c text")
    op.execute("INSERT INTO b VALUES (1, NULL)")
    with op.get_context().autocommit_block():
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY ON a (n, id)")
        op.execute("INSERT INTO b VALUES (2, NULL)")
        op.execute("ALTER TABLE b ADD COLUMN d int")
    op.execute("UPDATE b SET d = coalesce(d, 0) + 1")"""
# What follows in the transaction of the mark stands with it, or not at all.
UNNAMED = """op.execute("SELECT count(*) FROM a")
    with op.get_context().autocommit_block():
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY ON a (n, id)")
    op.execute("ALTER TABLE b ADD COLUMN c text, ADD COLUMN d int")
    op.execute("INSERT INTO b VALUES (1, NULL, 1), (2, NULL, 1)")"""
REINDEX = OUTSIDE + 'op.execute("REINDEX INDEX CONCURRENTLY a_n_idx")'
DROP = OUTSIDE + 'op.execute("DROP INDEX CONCURRENTLY a_n_idx")'
TWO_BUILDS = """with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY a_t_idx ON a (lower(t), id DESC) WHERE t LIKE '%x%'")
        op.execute("CREATE INDEX CONCURRENTLY a_id_idx ON a (id)")"""
LAST = """op.execute("INSERT INTO b VALUES (3, 'last', 1)")"""
HISTORY = (WITH_ROWS, SEVERAL, BUILD, UNNAMED, REINDEX, DROP, TWO_BUILDS, LAST)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., History]:
    def history(*bodies: str, down: str = "pass") -> History:
        for number, body in enumerate(bodies, 1):
            below = f'"r{number - 1}"' if number > 1 else None
            (tmp_path / f"r{number}.py").write_text(
                f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
                f"def upgrade():\n    {body}\n\ndef downgrade():\n    {down}\n"
            )
        return History.load(tmp_path)

    return history


@pytest.fixture
def watcher(database: ProvisionedDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
        yield connection


def catalog(database: ProvisionedDatabase) -> Catalog:
    with reader(database.owner_dsn) as connection:
        return read_catalog(connection)


def rows(database: ProvisionedDatabase) -> list[tuple[object, ...]]:
    with psycopg.connect(database.owner_dsn) as connection:
        return connection.execute("SELECT * FROM b ORDER BY id").fetchall()


def invalid(watcher: psycopg.Connection) -> list[str]:
    found = watcher.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid").fetchall()
    return [str(row[0]) for row in found]


@contextmanager
def applying(database: ProvisionedDatabase, folder: Path, *, foreign: bool = False) -> Generator[subprocess.Popen[str]]:
    victim = subprocess.Popen([sys.executable, "-c", APPLY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert victim.stdin is not None
    assert victim.stdout is not None
    victim.stdin.write(json.dumps({"dsn": database.owner_dsn, "folder": str(folder), "foreign": foreign}))
    victim.stdin.close()
    assert victim.stdout.readline() == "begins\n"
    try:
        yield victim
    finally:
        with suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        victim.stdout.close()


def until(watcher: psycopg.Connection, query: str) -> None:
    """Wait until the migrating session does something."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        row = watcher.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
            " AND state = 'active' AND query LIKE %s",
            (MIGRATING, query),
        ).fetchone()
        if row:
            return
    raise AssertionError(f"nothing runs {query}")


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_a_second_apply_finishes(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    write: Callable[..., History],
    tmp_path: Path,
    seed: int,
) -> None:
    history = write(*HISTORY)
    moments = random.Random(seed)  # noqa: S311
    kills = 0
    for _ in range(4):
        with applying(database, tmp_path) as victim:
            time.sleep(moments.uniform(0, 0.45))
            kills += victim.poll() is None
            victim.kill()
    assert kills
    upgrade(database.owner_dsn, history, release_id="r", advisory_wait_s=60)
    assert invalid(watcher) == []
    assert watcher.execute("SELECT version_num FROM alembic_version").fetchall() == [("r8",)]
    assert rows(database) == [(1, None, 1), (2, None, 1), (3, "last", 1)]
    assert watcher.execute("SELECT count(*) FROM pilotage.applied_revisions").fetchone() == (8,)
    assert watcher.execute("SELECT count(*) FROM pilotage.unfinished_revisions").fetchone() == (0,)
    locks = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE"
    )
    assert watcher.execute(f"{locks} datname = current_database())".encode()).fetchone() == (0,)
    found = catalog(database)
    downgrade_to_nothing(watcher)
    upgrade(database.owner_dsn, history, release_id="undisturbed")
    assert difference(catalog(database), found) == ()


def downgrade_to_nothing(watcher: psycopg.Connection) -> None:
    watcher.execute("DROP TABLE a, b, alembic_version; DROP SCHEMA pilotage CASCADE")


def held_up(database: ProvisionedDatabase) -> psycopg.Connection:
    """An old transaction, which a build waits for."""
    holder = psycopg.connect(database.owner_dsn, application_name="old")
    holder.execute("UPDATE a SET n = n WHERE id = 1")
    return holder


WAITS = "%INDEX CONCURRENTLY%"


@pytest.mark.parametrize("statement", ["BUILD", "REINDEX", "DROP"])
def test_killed_while_an_old_transaction_holds_it_up_a_second_apply_finishes(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    write: Callable[..., History],
    tmp_path: Path,
    statement: str,
) -> None:
    others = {
        "BUILD": (OUTSIDE + 'op.execute("CREATE INDEX CONCURRENTLY a_id_idx ON a (id)")',),
        "REINDEX": (BUILD, REINDEX),
        "DROP": (BUILD, DROP),
    }[statement]
    history = write(WITH_ROWS, *others)
    upgrade(database.owner_dsn, history, release_id="r", target=f"r{len(others)}")
    with held_up(database) as holder, applying(database, tmp_path) as victim:
        until(watcher, WAITS)
        time.sleep(0.1)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        finishes = threading.Timer(0.3, holder.rollback)
        finishes.start()
        done = upgrade(database.owner_dsn, history, release_id="r", advisory_wait_s=30)
        finishes.join()
    assert [one.revision for one in done] == [f"r{len(others) + 1}"]
    assert invalid(watcher) == []
    names = watcher.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'a'::regclass ORDER BY 1")
    assert [row[0] for row in names] == {
        "BUILD": ["a_id_idx", "a_pkey"],
        "REINDEX": ["a_n_idx", "a_pkey"],
        "DROP": ["a_pkey"],
    }[statement]


@pytest.mark.parametrize(
    "instead",
    [
        'op.execute("CREATE INDEX CONCURRENTLY ON a (id, n)")',
        'op.execute("CREATE UNIQUE INDEX CONCURRENTLY ON a (n, id)")',
        'op.execute("DROP INDEX CONCURRENTLY IF EXISTS a_n_idx")',
        "pass",
    ],
)
def test_killed_in_a_statement_that_no_longer_comes_a_revision_is_half_applied(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    write: Callable[..., History],
    tmp_path: Path,
    instead: str,
) -> None:
    history = write(WITH_ROWS, OUTSIDE + 'op.execute("CREATE INDEX CONCURRENTLY ON a (n, id)")')
    upgrade(database.owner_dsn, history, release_id="r", target="r1")
    with held_up(database) as holder, applying(database, tmp_path) as victim:
        until(watcher, WAITS)
        time.sleep(0.1)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        holder.rollback()
    edited = write(WITH_ROWS, OUTSIDE + instead)
    with pytest.raises(HalfApplied, match="CREATE INDEX CONCURRENTLY ON a"):
        upgrade(database.owner_dsn, edited, release_id="r", advisory_wait_s=30)
    with psycopg.connect(database.owner_dsn) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("r1",)]


@pytest.mark.parametrize("ends", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_build_that_is_cut_off_leaves_no_invalid_index_and_is_done_again(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], ends: str
) -> None:
    history = write(WITH_ROWS, BUILD)
    upgrade(database.owner_dsn, history, release_id="r", target="r1")
    raised: list[MigrationError] = []

    def run() -> None:
        try:
            upgrade(database.owner_dsn, history, release_id="r")
        except MigrationError as error:
            raised.append(error)

    with held_up(database) as holder:
        thread = threading.Thread(target=run)
        thread.start()
        until(watcher, WAITS)
        watcher.execute(
            f"SELECT {ends}(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = %s AND query LIKE %s".encode(),
            (MIGRATING, WAITS),
        )
        while not raised and invalid(watcher):
            time.sleep(0.05)
            holder.rollback()
        thread.join()
    (error,) = raised
    assert error.transient == (ends == "pg_terminate_backend")
    assert invalid(watcher) == []
    assert len(upgrade(database.owner_dsn, history, release_id="r")) == 1


def test_a_duplicate_is_named_and_the_index_is_built_once_it_is_gone(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    unique = OUTSIDE + 'op.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_n_key ON a (n)")'
    history = write(
        'op.execute("CREATE TABLE a (id int, n int)"); op.execute("INSERT INTO a VALUES (1, 5), (2, 5)")', unique
    )
    with pytest.raises(RevisionFailed, match=r'unique index "a_n_key"; table "a"; Key \(n\)') as caught:
        upgrade(database.owner_dsn, history, release_id="r")
    assert caught.value.sqlstate == "23505"
    assert "left nothing" in str(caught.value)
    assert watcher.execute("SELECT to_regclass('a_n_key') IS NULL").fetchone() == (True,)
    watcher.execute("DELETE FROM a WHERE id = 2")
    assert len(upgrade(database.owner_dsn, history, release_id="r")) == 1
    assert invalid(watcher) == []
    assert watcher.execute("SELECT to_regclass('a_n_key') IS NULL").fetchone() == (False,)


def leave_invalid(database: ProvisionedDatabase, name: str, on: str) -> None:
    """Leave an invalid index, as a build that found a duplicate does."""
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO a VALUES (-1, -1), (-2, -1)")
        with suppress(psycopg.errors.UniqueViolation):
            connection.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {on}".encode())
        connection.execute("DELETE FROM a WHERE id < 0")


@pytest.mark.parametrize("excuse", ["", "IF NOT EXISTS "])
def test_an_invalid_index_is_built_again_where_it_is_the_plans_and_left_alone_where_not(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], excuse: str
) -> None:
    unique = OUTSIDE + f'op.execute("CREATE UNIQUE INDEX CONCURRENTLY {excuse}a_n_key ON a (n)")'
    history = write('op.execute("CREATE TABLE a (id int, n int)")', unique)
    upgrade(database.owner_dsn, history, release_id="r", target="r1")
    leave_invalid(database, "somebodys", "a (n)")
    leave_invalid(database, "a_n_key", "a ((n + 0))")
    assert sorted(invalid(watcher)) == ["a_n_key", "somebodys"]
    with pytest.raises(IndexInTheWay, match="it is invalid and not of the revision's making") as caught:
        upgrade(database.owner_dsn, history, release_id="r")
    assert "DROP INDEX CONCURRENTLY" in str(caught.value)
    assert sorted(invalid(watcher)) == ["a_n_key", "somebodys"]
    watcher.execute("DROP INDEX a_n_key")
    leave_invalid(database, "a_n_key", "a (n)")
    assert len(upgrade(database.owner_dsn, history, release_id="r")) == 1
    assert invalid(watcher) == ["somebodys"]


def test_an_index_that_stands_is_taken_only_where_it_is_what_the_revision_builds(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    history = write(WITH_ROWS, BUILD)
    upgrade(database.owner_dsn, history, release_id="r", target="r1")
    watcher.execute("CREATE INDEX a_n_idx ON a (n) WHERE n > 1")
    with pytest.raises(IndexInTheWay, match="pilotage resolve --applied r2"):
        upgrade(database.owner_dsn, history, release_id="r")
    watcher.execute("DROP INDEX a_n_idx")
    watcher.execute("CREATE INDEX a_n_idx ON a USING btree (n) WHERE (n > 0)")
    before = watcher.execute("SELECT 'a_n_idx'::regclass::oid").fetchone()
    told: list[Progress] = []
    upgrade(database.owner_dsn, history, release_id="r", on_event=told.append)
    assert watcher.execute("SELECT 'a_n_idx'::regclass::oid").fetchone() == before
    assert [one.detail for one in told if one.kind == "resumed"] == ["index a_n_idx stands already, as it is promised"]


def test_an_index_that_never_was_is_not_taken_for_one_that_was_dropped(
    database: ProvisionedDatabase, write: Callable[..., History]
) -> None:
    history = write(WITH_ROWS, OUTSIDE + 'op.execute("DROP INDEX CONCURRENTLY a_typo_idx")')
    with pytest.raises(RevisionFailed, match='index "a_typo_idx" does not exist'):
        upgrade(database.owner_dsn, history, release_id="r")


def test_a_revision_of_several_parts_that_failed_is_half_applied_also_where_it_was_mended(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], tmp_path: Path
) -> None:
    broken = MIXED.replace("ADD COLUMN d int", "ADD COLUMN c int")
    history = write(WITH_ROWS, SEVERAL, broken)
    with pytest.raises(RevisionFailed, match="already exists"):
        upgrade(database.owner_dsn, history, release_id="r")
    for again in (broken.replace("c text", "e text"), MIXED):
        with pytest.raises(HalfApplied, match="pilotage resolve --applied r3") as caught:
            upgrade(database.owner_dsn, write(WITH_ROWS, SEVERAL, again), release_id="r")
        assert caught.value.committed == (
            "ALTER TABLE b ADD COLUMN c text",
            "INSERT INTO b VALUES ($1, $2)",
            "CREATE UNIQUE INDEX CONCURRENTLY ON a (n, id)",
            "INSERT INTO b VALUES ($1, $2)",
        )
        assert caught.value.under_way == ""
    assert rows(database) == [(1, None), (2, None)]
    watcher.execute("DROP INDEX a_n_id_idx; ALTER TABLE b DROP COLUMN c; DELETE FROM b")
    mark_revision(database.owner_dsn, database.superuser_dsn, History.load(tmp_path), "r3", "rolled back")
    assert len(upgrade(database.owner_dsn, write(WITH_ROWS, SEVERAL, MIXED), release_id="r")) == 1
    assert rows(database) == [(1, None, 1), (2, None, 1)]


def test_a_downgrade_that_was_cut_off_is_finished(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    down = OUTSIDE + 'op.execute("DROP INDEX CONCURRENTLY a_n_idx")\n    raise ValueError("cut off")'
    upgrade(database.owner_dsn, write(WITH_ROWS, BUILD, down=down), release_id="r")
    history = write(WITH_ROWS, BUILD, down=down)
    with pytest.raises(RevisionFailed, match="cut off"):
        downgrade(database.owner_dsn, history, "r1")
    assert watcher.execute("SELECT to_regclass('a_n_idx') IS NULL").fetchone() == (True,)
    history = write(WITH_ROWS, BUILD, down=down.replace('raise ValueError("cut off")', "pass"))
    assert len(downgrade(database.owner_dsn, history, "r1")) == 1


ENVIRONMENT = """
from alembic import context
from sqlalchemy import engine_from_config, pool

url = context.config.get_main_option("sqlalchemy.url")
engine = engine_from_config({"sqlalchemy.url": url}, poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_a_foreign_history_killed_in_a_build_is_finished_by_a_second_apply(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], tmp_path: Path
) -> None:
    write(WITH_ROWS, OUTSIDE + 'op.execute("CREATE INDEX CONCURRENTLY ON a (id, n)")', BUILD, REINDEX, DROP)
    (tmp_path / "versions").mkdir()
    for one in tmp_path.glob("r*.py"):
        one.rename(tmp_path / "versions" / one.name)
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    history = History.of_project(ForeignEnvironment(None, tmp_path, tmp_path))
    upgrade(database.owner_dsn, history, release_id="r", target="r1")
    for target in ("r2", "r3", "r4", "r5"):
        with held_up(database) as holder, applying(database, tmp_path, foreign=True) as victim:
            until(watcher, WAITS)
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
            holder.rollback()
            (done,) = upgrade(database.owner_dsn, history, release_id="r", target=target, advisory_wait_s=30)
        assert done.revision == target
        assert invalid(watcher) == []
        assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (True,)
    names = watcher.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'a'::regclass ORDER BY 1")
    assert [row[0] for row in names] == ["a_id_n_idx", "a_pkey"]


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[Cluster]:
    """A cluster of its own, which may be restarted."""
    state = tmp_path_factory.mktemp("elsewhere")
    cluster = Cluster.create(data_root(state) / "restarted", spawner=spawner)
    cluster.start(free_port(), settings={"archive_mode": "off"})
    yield cluster
    cluster.stop("immediate")
    remove_data_root(state)


@pytest.mark.parametrize("body", ["BUILD", "SEVERAL"])
def test_a_server_that_crashes_meanwhile_is_said_and_a_second_apply_finishes(
    elsewhere: Cluster, write: Callable[..., History], body: str
) -> None:
    dsn, port = elsewhere.superuser_dsn("postgres"), elsewhere.port
    slow = SEVERAL.replace("pg_sleep(0.05)", "CASE WHEN current_setting('app.slow', true) = 'on' THEN pg_sleep(60) END")
    history = write(WITH_ROWS, {"BUILD": BUILD, "SEVERAL": slow}[body])
    upgrade(dsn, history, release_id="r", target="r1")
    raised: list[MigrationError] = []

    def run() -> None:
        try:
            upgrade(dsn, history, release_id="r")
        except MigrationError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    with psycopg.connect(dsn, autocommit=True) as watcher:
        watcher.execute("ALTER DATABASE postgres SET app.slow = 'on'")
        holder = psycopg.connect(dsn)
        holder.execute("UPDATE a SET n = n WHERE id = 1")
        if body == "SEVERAL":
            holder.rollback()
        thread.start()
        until(watcher, {"BUILD": WAITS, "SEVERAL": "%pg_sleep%"}[body])
        elsewhere.stop("immediate")
    thread.join()
    holder.close()
    (error,) = raised
    assert isinstance(error, DatabaseUnreachable)
    elsewhere.start(port, settings={"archive_mode": "off"})
    with psycopg.connect(dsn, autocommit=True) as watcher:
        watcher.execute("ALTER DATABASE postgres RESET app.slow")
        assert [one.revision for one in upgrade(dsn, history, release_id="r")] == ["r2"]
        assert invalid(watcher) == []
        assert watcher.execute("SELECT version_num FROM alembic_version").fetchall() == [("r2",)]


def test_it_stops_where_the_session_that_holds_the_migration_lock_is_cut(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    history = write(WITH_ROWS, 'op.execute("CREATE TABLE b (id int)"); op.execute("SELECT pg_sleep(0.5)")')
    upgrade(database.owner_dsn, history, release_id="r", target="r1")
    raised: list[MigrationError] = []

    def run() -> None:
        try:
            upgrade(database.owner_dsn, history, release_id="r")
        except MigrationError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(watcher, "%pg_sleep%")
    watcher.execute(LOCKS.replace(b"count(*)", b"pg_terminate_backend(pid)"))
    thread.join()
    (error,) = raised
    assert isinstance(error, DatabaseUnreachable)
    assert watcher.execute("SELECT to_regclass('b') IS NULL").fetchone() == (True,)
    assert len(upgrade(database.owner_dsn, history, release_id="r")) == 1


def test_a_foreign_history_killed_between_the_parts_of_a_revision_is_half_applied_until_somebody_says_where_it_is(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], tmp_path: Path
) -> None:
    (tmp_path / "versions").mkdir()
    write(WITH_ROWS, SEVERAL, MIXED)
    for one in tmp_path.glob("r*.py"):
        one.rename(tmp_path / "versions" / one.name)
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    history = History.of_project(ForeignEnvironment(None, tmp_path, tmp_path))
    upgrade(database.owner_dsn, history, release_id="r", target="r2")
    with held_up(database) as holder, applying(database, tmp_path, foreign=True) as victim:
        until(watcher, WAITS)
        victim.kill()
        victim.wait()
        holder.rollback()
        with pytest.raises(HalfApplied, match="ALTER TABLE b ADD COLUMN c text; INSERT INTO b") as caught:
            upgrade(database.owner_dsn, history, release_id="r", advisory_wait_s=30)
    assert caught.value.under_way == "CREATE UNIQUE INDEX CONCURRENTLY ON a (n, id)"
    assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (False,)
    # A server that notices early that its client is gone has not begun the index.
    watcher.execute("DROP INDEX IF EXISTS a_n_id_idx; ALTER TABLE b DROP COLUMN c; DELETE FROM b")
    resolve = ["resolve", "--rolled-back", "r3", "--script-location", str(tmp_path)]
    ran = CliRunner().invoke(app, [*resolve, "--database-url", database.superuser_dsn])
    assert ran.exit_code == 0, ran.output
    assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (True,)
    upgrade(database.owner_dsn, history, release_id="r")
    assert rows(database) == [(1, None, 1), (2, None, 1)]
    assert invalid(watcher) == []
    assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (True,)


def test_the_command_finishes_what_was_killed_in_a_build_and_shows_what_it_waits_for(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], tmp_path: Path
) -> None:
    (tmp_path / "versions").mkdir()
    write(WITH_ROWS, BUILD)
    for one in tmp_path.glob("r*.py"):
        one.rename(tmp_path / "versions" / one.name)
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    upgrade(
        database.owner_dsn,
        History.of_project(ForeignEnvironment(None, tmp_path, tmp_path)),
        target="r1",
        release_id="r",
    )
    command = [Path(sys.executable).parent / "pilotage", "apply", "--script-location", tmp_path]
    command += ["--database-url", database.owner_dsn]
    with held_up(database) as holder:
        with applying(database, tmp_path, foreign=True):
            until(watcher, WAITS)
        another = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert another.stderr is not None
        line = another.stderr.readline()
        while "waits for" not in line:
            assert line, "it has ended"
            line = another.stderr.readline()
        assert f"pid {holder.info.backend_pid}" in line
        holder.rollback()
        told, _ = another.communicate()
    assert another.returncode == 0
    assert [one["revision"] for one in json.loads(told)] == ["r2"]
    assert invalid(watcher) == []
