"""Revisions that end their transaction themselves: apply never waits for itself, and leaves nothing of ours behind."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.errors import HalfApplied
from migrations.apply.migrate import downgrade, upgrade
from migrations.authoring.resolve import mark_revision
from migrations.errors import RevisionFailed
from migrations.history.applied_revisions import RESUME_NOTES_TABLE
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.revisions import History

ENVIRONMENT = """
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
AUTOCOMMIT = ENVIRONMENT.replace("poolclass=", 'isolation_level="AUTOCOMMIT", poolclass=')
BEFORE = 'op.execute("CREATE TABLE a (id int PRIMARY KEY, n int DEFAULT 0)"); op.execute("INSERT INTO a VALUES (1)")'
ONCE = 'op.get_bind().exec_driver_sql("UPDATE a SET n = n + 1")'
BLOCK = """with op.get_context().autocommit_block():
        op.execute("ALTER TABLE a ADD COLUMN o int")"""
SECOND = """with op.get_bind().engine.connect() as other:
        other.exec_driver_sql("CREATE TABLE other (id int)")
        other.{end}()
    """
# Ways of ending a transaction, each with what `n` of the only row is in the end: how often it was counted up.
WAYS = {
    "a commit, then an autocommit block": (f"{ONCE}\n    op.get_bind().commit()\n    {BLOCK}", 1),
    "a commit, and nothing after it": (f"{ONCE}\n    op.get_bind().commit()", 1),
    "several commits": (f"{ONCE}\n    op.get_bind().commit()\n    {ONCE}\n    op.get_bind().commit()\n    {ONCE}", 3),
    "a commit by hand": (f'{ONCE}\n    op.execute("COMMIT")\n    {ONCE}', 2),
    "a rollback": (f"{ONCE}\n    op.get_bind().rollback()\n    {ONCE}", 1),
    "a savepoint": (f"with op.get_bind().begin_nested():\n        {ONCE}\n    op.get_bind().commit()\n    {ONCE}", 2),
    "a savepoint taken back": (
        f"nested = op.get_bind().begin_nested()\n    {ONCE}\n    nested.rollback()\n    {ONCE}",
        1,
    ),
    "a savepoint left open": (f"op.get_bind().begin_nested()\n    {ONCE}", 1),
    "a block, then a commit": (f"{BLOCK}\n    {ONCE}\n    op.get_bind().commit()\n    {ONCE}", 2),
    "a second connection that commits": (f"{ONCE}\n    {SECOND.format(end='commit')}{ONCE}", 2),
    "a second connection that does not": (f"{ONCE}\n    {SECOND.format(end='rollback')}{ONCE}", 2),
    "a second connection and a block": (f"{ONCE}\n    {SECOND.format(end='commit')}{BLOCK}", 1),
}
RAW = "raw = op.get_bind().connection.dbapi_connection"
# Ways of committing past SQLAlchemy, in the middle of a revision that has counted up before.
PAST_SQLALCHEMY = {
    "the driver's connection": f"{RAW}; raw.commit()",
    "the driver's connection by its other name": "op.get_bind().connection.driver_connection.commit()",
    "what the pool hands out": "op.get_bind().connection.commit()",
    "a text": f'{RAW}; raw.execute("COMMIT")',
    "a text of two": f'{RAW}; raw.execute("SELECT 1; COMMIT")',
    "a commit, and autocommit from there": f"{RAW}; raw.commit(); raw.autocommit = True",
    "a commit that is hidden by another": f"{RAW}; raw.commit(); {ONCE}; raw.rollback()",
    "a cursor of its own that writes": f"{RAW}; psycopg.ClientCursor(raw).execute('SELECT 1'); raw.commit()",
}
LAST = 'op.execute("CREATE TABLE last (id int)")'


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., History]:
    """A linear history of a project that is not ours, or of ours where no environment is given."""

    def make(*bodies: str, env: str = ENVIRONMENT) -> History:
        versions = tmp_path / "versions"
        versions.mkdir(exist_ok=True)
        for number, body in enumerate(bodies, 1):
            below = f'"r{number - 1}"' if number > 1 else None
            (versions / f"r{number}.py").write_text(
                f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
                f"def upgrade():\n    {body}\n\ndef downgrade():\n    pass\n"
            )
        if not env:
            return History.load(versions)
        (tmp_path / "env.py").write_text(env)
        return History.of_project(ForeignEnvironment(None, tmp_path, tmp_path))

    return make


@pytest.fixture
def watcher(database: ProvisionedDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def impatient(database: ProvisionedDatabase, watcher: psycopg.Connection) -> None:
    """Every session of ours that waits for a lock for a second is refused: whoever waits for itself is seen to."""
    watcher.execute(f'ALTER ROLE "{database.owner}" SET deadlock_timeout = 100'.encode())
    watcher.execute(f'ALTER ROLE "{database.owner}" SET lock_timeout = 1000'.encode())


def counted(watcher: psycopg.Connection) -> list[tuple[object, ...]]:
    return watcher.execute("SELECT n, (SELECT array_agg(version_num) FROM alembic_version) FROM a").fetchall()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("env", [ENVIRONMENT, ""], ids=["foreign", "own"])
@pytest.mark.parametrize("way", list(WAYS))
def test_a_revision_may_end_its_transaction_in_any_way(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    project: Callable[..., History],
    caplog: pytest.LogCaptureFixture,
    way: str,
    env: str,
) -> None:
    body, times = WAYS[way]
    history = project(BEFORE, body, env=env)
    done = upgrade(database.owner_dsn, history, release_id="r", budget_s=5)
    assert [(one.revision, one.attempts) for one in done] == [("r1", 1), ("r2", 1)]
    assert counted(watcher) == [(times, ["r2"])]
    history = project(BEFORE, body, LAST, env=env)
    assert len(upgrade(database.owner_dsn, history, release_id="r", budget_s=5)) == 1
    if env:
        assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (True,)
    else:
        assert watcher.execute("SELECT count(*) FROM pilotage.unfinished_revisions").fetchone() == (0,)
    assert "left behind" not in caplog.text


@pytest.mark.usefixtures("impatient")
def test_an_environment_in_autocommit_is_applied_and_leaves_nothing_of_ours(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History]
) -> None:
    history = project(BEFORE, ONCE, f"{ONCE}; {ONCE}", env=AUTOCOMMIT)
    assert len(upgrade(database.owner_dsn, history, release_id="r")) == 3
    assert counted(watcher) == [(3, ["r3"])]
    assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (True,)


def test_a_schema_of_that_name_that_was_there_before_stays(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History]
) -> None:
    watcher.execute(f'CREATE SCHEMA pilotage AUTHORIZATION "{database.owner}"'.encode())
    upgrade(database.owner_dsn, project(BEFORE, WAYS["several commits"][0]), release_id="r")
    assert watcher.execute("SELECT to_regclass('pilotage.unfinished_revisions') IS NULL").fetchone() == (True,)
    assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (False,)


def test_what_one_left_that_was_killed_at_its_very_end_is_taken_away_by_the_next(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History]
) -> None:
    history = project(BEFORE)
    upgrade(database.owner_dsn, history, release_id="r")
    for again in (partial(upgrade, release_id="r"), partial(downgrade, target="r1")):
        with psycopg.connect(database.owner_dsn) as owner:
            owner.execute("CREATE SCHEMA pilotage")
            owner.execute(RESUME_NOTES_TABLE)
        assert again(database.owner_dsn, history) == ()
        assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (True,)


def test_a_role_that_may_not_create_a_schema_commits_in_the_middle_and_is_told(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    project: Callable[..., History],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher.execute(f'REVOKE CREATE ON DATABASE "{database.name}" FROM PUBLIC, "{database.app}"'.encode())
    watcher.execute(f'GRANT CREATE ON SCHEMA public TO "{database.app}"'.encode())
    body, times = WAYS["a commit, then an autocommit block"]
    assert len(upgrade(database.app_dsn, project(BEFORE, body), release_id="r")) == 2
    assert counted(watcher) == [(times, ["r2"])]
    assert "how far r2 comes cannot be noted" in caplog.text


@pytest.mark.parametrize("end", ["op.get_bind().commit()", 'op.execute("COMMIT")', 'op.execute("SELECT 1; COMMIT")'])
def test_what_was_committed_in_the_middle_is_not_done_again(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], end: str
) -> None:
    history = project(BEFORE, f'{ONCE}\n    {end}\n    raise ValueError("stop")')
    with pytest.raises(RevisionFailed, match="UPDATE a SET n = n"):
        upgrade(database.owner_dsn, history, release_id="r")
    with pytest.raises(HalfApplied, match="UPDATE a SET n = n"):
        upgrade(database.owner_dsn, project(BEFORE, ONCE), release_id="r")
    assert counted(watcher) == [(1, ["r1"])]


def test_what_a_second_connection_has_committed_is_not_done_again(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History]
) -> None:
    body = f'{SECOND.format(end="commit")}{ONCE}\n    raise ValueError("stop")'
    with pytest.raises(RevisionFailed, match="what this did: CREATE TABLE other"):
        upgrade(database.owner_dsn, project(BEFORE, body), release_id="r")
    with pytest.raises(HalfApplied, match="CREATE TABLE other"):
        upgrade(database.owner_dsn, project(BEFORE, body), release_id="r")
    assert counted(watcher) == [(0, ["r1"])]


# Transactions of the driver's, begun by a revision that has sent nothing yet: each counts up.
IN_ITS_TRANSACTION = {
    "begun by the driver": f"""{RAW}
    with raw.transaction():
        raw.execute("UPDATE a SET n = n + 1")""",
    "begun by the driver, filled by Alembic": f"""{RAW}
    with raw.transaction():
        {ONCE}""",
    "with one that is taken back": f"""{RAW}
    with raw.transaction():
        {ONCE}
        with raw.transaction(force_rollback=True):
            {ONCE}
    with raw.transaction():
        raw.execute("UPDATE a SET n = n + 1")
        raise psycopg.Rollback""",
    "in autocommit": f"""{RAW}; raw.autocommit = True
    with raw.transaction():
        raw.execute("UPDATE a SET n = n + 1")""",
    "in two phases": f"""{RAW}; raw.tpc_begin("both")
    raw.execute("UPDATE a SET n = n + 1"); raw.tpc_commit()""",
    "of another connection": """raw = op.get_bind().engine.raw_connection()
    raw.cursor().execute("UPDATE a SET n = n + 1"); raw.commit(); raw.close()""",
    "that a cursor WITH HOLD ends": f"""{RAW}
    op.execute("CREATE OR REPLACE FUNCTION up() RETURNS void LANGUAGE sql AS 'UPDATE a SET n = n + 1'"); raw.commit()
    held = raw.cursor("held", withhold=True); held.execute("SELECT up()"); raw.commit(); held.close()""",
}


# Each way in one of the two environments: what is put around a connection does not know whose it is.
@pytest.mark.parametrize(
    ("way", "env"),
    [(way, ENVIRONMENT if place % 2 else "") for place, way in enumerate((*PAST_SQLALCHEMY, *IN_ITS_TRANSACTION))],
)
def test_what_was_committed_past_sqlalchemy_is_not_done_again(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], way: str, env: str
) -> None:
    body = IN_ITS_TRANSACTION[way] if way in IN_ITS_TRANSACTION else f"{ONCE}; {PAST_SQLALCHEMY[way]}"
    body = f"import psycopg; {body}\n    "
    with pytest.raises(RevisionFailed, match="what this did: "):
        upgrade(database.owner_dsn, project(BEFORE, f'{body}raise ValueError("stop")', env=env), release_id="r")
    with pytest.raises(HalfApplied):
        upgrade(database.owner_dsn, project(BEFORE, f"{body}pass", env=env), release_id="r")
    assert counted(watcher) == [(1, ["r1"])]
    mark_revision(database.owner_dsn, database.owner_dsn, project(BEFORE, body), "r2", "rolled back", unchecked=True)
    assert len(upgrade(database.owner_dsn, project(BEFORE, f"{body}pass", env=env), release_id="r")) == 1
    assert counted(watcher) == [(2, ["r2"])]


@pytest.mark.parametrize("env", [ENVIRONMENT, ""], ids=["foreign", "own"])
def test_what_was_rolled_back_past_sqlalchemy_is_done_again(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], env: str
) -> None:
    body = f"{ONCE}; {RAW}; raw.rollback(); {ONCE}"
    with pytest.raises(RevisionFailed, match="it left nothing"):
        upgrade(database.owner_dsn, project(BEFORE, f'{body}; raise ValueError("stop")', env=env), release_id="r")
    assert len(upgrade(database.owner_dsn, project(BEFORE, body, env=env), release_id="r")) == 1
    assert counted(watcher) == [(1, ["r2"])]


RAW_WAYS = {
    "COPY": """with raw.cursor().copy("COPY a (id) FROM STDIN") as copy:
            copy.write("2\\n")""",
    "INSERT": 'raw.execute("INSERT INTO a VALUES (%s)", (2,))',
    "many": 'raw.cursor().executemany("INSERT INTO a VALUES (%s)", [(2,)])',
    "stream": 'list(raw.cursor().stream("INSERT INTO a VALUES (%s) RETURNING id", (2,)))',
    "held cursor": """with raw.cursor("held", withhold=True) as cursor:
            cursor.execute("SELECT more(2)")""",
}


@pytest.mark.parametrize("env", [ENVIRONMENT, ""], ids=["foreign", "own"])
@pytest.mark.parametrize("way", list(RAW_WAYS))
def test_what_went_past_sqlalchemy_outside_a_transaction_is_not_done_again(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], way: str, env: str
) -> None:
    more = """op.execute("CREATE FUNCTION more(int) RETURNS void LANGUAGE sql AS 'INSERT INTO a VALUES ($1)'")"""
    before = f"{BEFORE}; {more}"
    body = f"{RAW}\n    with op.get_context().autocommit_block():\n        {RAW_WAYS[way]}\n        "
    with pytest.raises(RevisionFailed, match="outside a transaction and left"):
        upgrade(database.owner_dsn, project(before, f'{body}raise ValueError("stop")', env=env), release_id="r")
    with pytest.raises(HalfApplied):
        upgrade(database.owner_dsn, project(before, f"{body}pass", env=env), release_id="r")
    assert watcher.execute("SELECT array_agg(id ORDER BY id) FROM a").fetchone() == ([1, 2],)


# Each would insert a row past the connection: outside a transaction, or in one that it commits itself.
MADE_PAST = {
    "cursor": 'psycopg.Cursor(raw).execute("INSERT INTO a VALUES (%s)", (2,))',
    "many": 'psycopg.ClientCursor(raw).executemany("INSERT INTO a VALUES (%s)", [(2,)])',
    "stream": 'list(psycopg.Cursor(raw).stream("INSERT INTO a VALUES (%s) RETURNING id", (2,)))',
    "COPY": 'psycopg.RawCursor(raw).copy("COPY a (id) FROM STDIN").__enter__()',
    "held": 'with psycopg.ServerCursor(raw, "held", withhold=True) as cursor: cursor.execute("SELECT 1")',
    "transaction": 'psycopg.Transaction(raw).__enter__(); op.execute("INSERT INTO a VALUES (2)")',
}


@pytest.mark.parametrize("way", list(MADE_PAST))
def test_what_is_made_past_the_connection_is_refused_before_it_commits_anything(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], way: str
) -> None:
    block = "with op.get_context().autocommit_block():\n        "
    body = f"import psycopg; {RAW}\n    {block}{MADE_PAST[way]}"
    with pytest.raises(RevisionFailed, match=r"nothing of it was sent: use connection\.cursor\(\)"):
        upgrade(database.owner_dsn, project(BEFORE, body), release_id="r")
    assert counted(watcher) == [(0, ["r1"])]
    assert len(upgrade(database.owner_dsn, project(BEFORE, ONCE), release_id="r")) == 1


@pytest.mark.parametrize(
    "sent",
    ['psycopg.Cursor(raw).execute("COMMIT")', "raw.rollback()\n    with psycopg.Transaction(raw): pass"],
)
def test_nor_may_what_is_made_past_the_connection_end_a_transaction(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], sent: str
) -> None:
    with pytest.raises(RevisionFailed, match="nothing of it was sent"):
        upgrade(database.owner_dsn, project(BEFORE, f"import psycopg; {ONCE}; {RAW}; {sent}"), release_id="r")
    assert counted(watcher) == [(0, ["r1"])]
    reads = "psycopg.Cursor(raw).execute('UPDATE a SET n = n + 1')\n    with psycopg.Transaction(raw): raw.execute('')"
    assert len(upgrade(database.owner_dsn, project(BEFORE, f"import psycopg; {RAW}; {reads}"), release_id="r")) == 1
    assert counted(watcher) == [(1, ["r2"])]


@pytest.mark.parametrize("how", ["raw.execute", "op.execute"])
@pytest.mark.parametrize("block", ["with op.get_context().autocommit_block():", "if True:"])
def test_a_pipeline_is_refused_before_anything_of_it_is_sent(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], block: str, how: str
) -> None:
    body = f"""{RAW}
    {block}
        with raw.pipeline():
            {how}("UPDATE a SET n = n + 1")"""
    with pytest.raises(RevisionFailed, match="nothing of the pipeline was sent: send its statements one after"):
        upgrade(database.owner_dsn, project(BEFORE, body), release_id="r")
    assert counted(watcher) == [(0, ["r1"])]
    assert len(upgrade(database.owner_dsn, project(BEFORE, ONCE), release_id="r")) == 1


@pytest.mark.parametrize("end", ["op.get_bind().commit()", "op.get_bind().connection.commit()", ""])
def test_a_commit_that_is_refused_leaves_nothing(
    database: ProvisionedDatabase, watcher: psycopg.Connection, project: Callable[..., History], end: str
) -> None:
    deferred = """op.execute("CREATE TABLE b (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
    op.execute("INSERT INTO b VALUES (2)")
    """
    history = project(BEFORE, f"{deferred}{end}")
    with pytest.raises(RevisionFailed, match="left nothing") as refused:
        upgrade(database.owner_dsn, history, release_id="r")
    assert refused.value.sqlstate == "23503"
    assert watcher.execute("SELECT to_regclass('b') IS NULL").fetchone() == (True,)
    assert len(upgrade(database.owner_dsn, project(BEFORE, ONCE), release_id="r")) == 1
    assert watcher.execute("SELECT to_regnamespace('pilotage') IS NULL").fetchone() == (True,)
