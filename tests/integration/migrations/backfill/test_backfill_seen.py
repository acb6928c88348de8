"""A backfill is read as what it is: by the plan, the lint, the offline SQL, the rehearsal and the receipt."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.database.trace import Lock, Trace
from migrations.history.revisions import History
from migrations.lint.offline import offline_statements
from migrations.lint.revisions import lint_history
from migrations.plan.lint import lint_plan
from migrations.plan.planned_revisions import make_plan
from migrations.recording.recorded_statements import offline_sql
from migrations.rehearsal.dress_rehearsal import rehearse
from migrations.restore.receipt_of_writes import receipt
from migrations.restore.restore_point import seal
from migrations.sql.database_context import DatabaseContext

TABLE = """
CREATE TABLE counters (a int, b text, n int NOT NULL DEFAULT 0, kind text, PRIMARY KEY (a, b));
CREATE TABLE kinds (id int PRIMARY KEY, name text);
INSERT INTO kinds SELECT g, 'it''s 100% ' || g FROM generate_series(0, 4) g;
INSERT INTO counters SELECT g, 'b' || g FROM generate_series(1, 1205) g
"""
CALL = """op.backfill(
        "counters", {"kind": "r.name || ' 5%'", "n": "n + 1"},
        source="kinds r", where="r.id = a % 5 AND kind IS NULL", key=("a", "b"),
    )"""


@pytest.fixture
def history(tmp_path: Path) -> History:
    for number, up, down in (
        (1, f'op.execute("""{TABLE}""")', 'op.execute("DROP TABLE counters, kinds")'),
        (2, CALL, 'op.backfill("counters", {"kind": "NULL", "n": "n - 1"}, key=("a", "b"))'),
    ):
        below = f'"r{number - 1}"' if number > 1 else None
        (tmp_path / f"r{number}.py").write_text(
            f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n'
            f'phase = "expand"\n\n\ndef upgrade():\n    {up}\n\n\ndef downgrade():\n    {down}\n'
        )
    return History.load(tmp_path)


def rows(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


DONE = "SELECT kind = 'it''s 100% ' || a % 5 || ' 5%' AND n = 1, count(*) FROM counters GROUP BY 1"


def test_a_plan_shows_one_block_with_its_locks_outside_of_a_transaction(
    database: ProvisionedDatabase, history: History
) -> None:
    plan = make_plan(database.owner_dsn, history, current=(), target="r2")
    made, filled = plan.revisions
    assert (plan.source, made.transactional, filled.transactional) == ("recorded", True, False)
    (statement,) = filled.statements
    assert statement.sql.startswith("DO $backfill$")
    assert """UPDATE "counters" SET "kind" = r.name || ' 5%', "n" = n + 1 FROM kinds r WHERE""" in statement.sql
    assert Lock("counters", "RowExclusiveLock") in statement.locks
    assert Lock("kinds", "AccessShareLock") in statement.locks
    assert {one.mode for one in statement.locks} == {"RowExclusiveLock", "AccessShareLock"}
    assert filled.downgrade is not None
    assert len(filled.downgrade) == 1


def test_the_block_of_a_plan_does_the_same_by_hand(database: ProvisionedDatabase, history: History) -> None:
    plan = make_plan(database.owner_dsn, history, current=(), target="r2")
    upgrade(database.owner_dsn, history, target="r1", release_id="test")
    (statement,) = plan.revisions[1].statements
    rows(database.owner_dsn, statement.sql)
    assert rows(database.owner_dsn, DONE) == [(True, 1205)]
    upgraded = offline_sql(history, current=("r1",), target="r2")["r2"]
    assert [(one.sql, one.transactional) for one in upgraded] == [(statement.sql, False)]


def test_the_lint_does_not_take_it_for_a_statement_over_all_rows(
    database: ProvisionedDatabase, history: History
) -> None:
    plan = make_plan(database.owner_dsn, history, current=("r1",), target="r2")
    assert [one.hazard for one in lint_plan(plan, history, None)] == []
    report = lint_history(history.alembic_config(), history, history.revisions[1:], context=DatabaseContext())
    assert ([one.hazard for one in report.findings], report.unknown) == ([], {})
    written = offline_statements(history.alembic_config(), history.revisions)
    assert [one.transaction for one in written.statements["r2"]] == [None]


SAMPLED = """
SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n
ON n.oid = c.relnamespace JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.application_name = 'pilotage migration' AND l.granted
  AND l.locktype = 'relation' AND n.nspname = 'public' AND c.relkind = 'r'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c.relname <> 'alembic_version'
"""


@contextmanager
def sampled(dsn: str) -> Generator[set[tuple[str, str]]]:
    """What somebody else sees of the migrating session's locks, asked over and over."""
    seen: set[tuple[str, str]] = set()
    over = threading.Event()

    def look() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not over.is_set():
                seen.update((str(name), str(mode)) for name, mode in connection.execute(SAMPLED.encode()))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def test_the_trace_has_its_rows_and_the_locks_that_an_independent_sample_sees(
    database: ProvisionedDatabase, history: History
) -> None:
    upgrade(database.owner_dsn, history, target="r1", release_id="test")
    with Trace.of(database.owner_dsn) as trace, sampled(database.owner_dsn) as seen:
        upgrade(database.owner_dsn, history, release_id="test", trace=trace)
    (statement,) = trace.statements
    assert (statement.revision, statement.rows, statement.transaction) == ("r2", 1205, None)
    found = {(held.lock.relation, held.lock.mode) for held in statement.locks}
    assert (
        found
        == seen
        == {
            ("counters", "RowExclusiveLock"),
            ("counters", "AccessShareLock"),
            ("kinds", "AccessShareLock"),
        }
    )


def test_a_rehearsal_runs_it_back_and_again_and_nobody_would_wait(
    database: ProvisionedDatabase, history: History
) -> None:
    upgrade(database.owner_dsn, history, target="r1", release_id="test")
    plan = make_plan(database.owner_dsn, history, current=("r1",))
    evidence = rehearse(database.owner_dsn, history, plan, None)
    (revision,) = evidence.revisions
    assert (revision.rows, revision.blocked_reads_ms, revision.blocked_writes_ms) == (1205, 0.0, 0.0)
    assert evidence.way_back.lossless, evidence.way_back
    assert rows(database.owner_dsn, DONE) == [(True, 1205)]


def test_a_receipt_tells_the_rows_of_all_batches_from_those_of_users(
    database: ProvisionedDatabase, history: History, request: pytest.FixtureRequest
) -> None:
    upgrade(database.owner_dsn, history, target="r1", release_id="test")
    point = seal(database.owner_dsn)
    copy = f"{database.name}_copy"

    def beside(statement: str) -> None:
        rows(make_conninfo(database.owner_dsn, dbname="postgres"), statement)

    beside(
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (copy, database.name))).as_string(None)
    )
    request.addfinalizer(lambda: beside(f'DROP DATABASE "{copy}" WITH (FORCE)'))
    upgrade(database.owner_dsn, history, release_id="test")
    assert len(rows(database.owner_dsn, "SELECT xid FROM pilotage.backfill_batches")) > 1
    rows(database.owner_dsn, "UPDATE counters SET n = 7 WHERE a = 1204; INSERT INTO counters VALUES (0, 'x')")
    made = receipt(make_conninfo(database.owner_dsn, dbname=copy), database.owner_dsn, point)
    assert {t.table: (t.inserted, t.updated, t.deleted, t.by_revisions) for t in made.tables} == {
        "counters": (1, 1, 0, 1204)
    }
