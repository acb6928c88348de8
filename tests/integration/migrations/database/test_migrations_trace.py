"""The trace of a migration, held against somebody else's look at pg_locks."""

import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.database.trace import STRENGTH, Lock, Trace
from migrations.errors import RevisionFailed
from migrations.history.revisions import History

SAMPLED = """
SELECT c.relname, l.mode FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.application_name = 'pilotage migration' AND a.datname = current_database()
  AND l.granted AND l.locktype = 'relation'
  AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
  AND c.relname <> 'alembic_version_pkc'
  AND NOT (c.relkind = 'i' AND l.mode IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
"""
WAITS = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pilotage migration' AND wait_event_type = 'Lock'
"""
TABLES = """
CREATE TABLE parent (id integer PRIMARY KEY, name text, amount integer NOT NULL DEFAULT 1);
CREATE TABLE child (id integer PRIMARY KEY, parent_id integer, note text);
CREATE INDEX child_note_idx ON child (note);
CREATE VIEW parents AS SELECT id, name FROM parent;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM parent;
CREATE TYPE mood AS ENUM ('good');
INSERT INTO parent SELECT n, 'p' || n FROM generate_series(1, 20000) n;
INSERT INTO child SELECT n, n, 'c' || n FROM generate_series(1, 20000) n;
"""
IN_A_TRANSACTION = {
    "add column": "ALTER TABLE parent ADD COLUMN extra text",
    "add column, volatile default": "ALTER TABLE parent ADD COLUMN extra uuid DEFAULT gen_random_uuid()",
    "drop column": "ALTER TABLE child DROP COLUMN note",
    "type change": "ALTER TABLE parent ALTER COLUMN amount TYPE bigint",
    "set not null": "ALTER TABLE parent ALTER COLUMN name SET NOT NULL",
    "check": "ALTER TABLE parent ADD CONSTRAINT positive CHECK (amount > 0)",
    "foreign key": "ALTER TABLE child ADD CONSTRAINT fk FOREIGN KEY (parent_id) REFERENCES parent",
    "foreign key, not valid": "ALTER TABLE child ADD CONSTRAINT fk FOREIGN KEY (parent_id) REFERENCES parent NOT VALID",
    "unique": "ALTER TABLE child ADD CONSTRAINT u UNIQUE (parent_id)",
    "index": "CREATE INDEX parent_name_idx ON parent (name)",
    "drop index": "DROP INDEX child_note_idx",
    "reindex": "REINDEX TABLE child",
    "cluster": "CLUSTER child USING child_pkey",
    "rename": "ALTER TABLE child RENAME COLUMN note TO remark",
    "drop table": "DROP TABLE child",
    "truncate": "TRUNCATE child",
    "comment": "COMMENT ON TABLE child IS 'children'",
    "update": "UPDATE parent SET amount = 2",
    "delete": "DELETE FROM child WHERE id < 10",
    "insert": "INSERT INTO child VALUES (-1, 1, 'x')",
    "row-level security": "ALTER TABLE child ENABLE ROW LEVEL SECURITY",
    "policy": "CREATE POLICY p ON child USING (true)",
    "replace view": "CREATE OR REPLACE VIEW parents AS SELECT id, name, amount FROM parent",
    "refresh": "REFRESH MATERIALIZED VIEW totals",
    "grant": "GRANT SELECT ON child TO PUBLIC",
    "analyze": "ANALYZE parent",
    "new table with a foreign key": "CREATE TABLE grandchild (id integer REFERENCES child (id))",
    "add enum label": "ALTER TYPE mood ADD VALUE 'bad'",
}
OUTSIDE = {
    "index, concurrently": "CREATE INDEX CONCURRENTLY parent_name_idx ON parent (name)",
    "drop index, concurrently": "DROP INDEX CONCURRENTLY child_note_idx",
    "reindex, concurrently": "REINDEX INDEX CONCURRENTLY child_note_idx",
    "vacuum": "VACUUM FULL parent",
}


@pytest.fixture
def tables(database: ProvisionedDatabase) -> ProvisionedDatabase:
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(TABLES.encode())
    return database


def one_revision(folder: Path, body: str) -> History:
    (folder / "r1.py").write_text(
        f'"""Step."""\nfrom alembic import op\nrevision = "r1"\ndown_revision = None\n\n\ndef upgrade():\n{body}\n\n\n'
        "def downgrade():\n    pass\n"
    )
    return History.load(folder)


@contextmanager
def sampled(dsn: str) -> Generator[set[tuple[str, str]]]:
    """What somebody else sees of the migrating session's locks, asked over and over."""
    seen: set[tuple[str, str]] = set()
    looks, over = threading.Event(), threading.Event()

    def look() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            looks.set()
            while not over.is_set():
                seen.update((str(name), str(mode)) for name, mode in connection.execute(SAMPLED.encode()))

    looking = threading.Thread(target=look)
    looking.start()
    looks.wait(30)
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def traced(dsn: str, history: History) -> tuple[Trace, set[tuple[str, str]]]:
    with Trace.of(dsn) as trace, sampled(dsn) as seen:
        upgrade(dsn, history, release_id="r", record=False, trace=trace)
    return trace, seen


def relations(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        return {
            name
            for (name,) in connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
        }


@pytest.mark.parametrize("sql", IN_A_TRANSACTION.values(), ids=IN_A_TRANSACTION.keys())
def test_the_trace_has_the_locks_that_an_independent_sample_sees(
    sql: str, tables: ProvisionedDatabase, tmp_path: Path
) -> None:
    body = f'    op.execute("""{sql}""")\n    op.execute("SELECT pg_sleep(0.2)")'
    stood = relations(tables.owner_dsn)
    trace, seen = traced(tables.owner_dsn, one_revision(tmp_path, body))
    first, second = trace.statements
    found = {(held.lock.relation, held.lock.mode) for held in first.locks}
    # A transaction's rows are seen by others a moment before its locks go: what it made is in some samples, then.
    assert found == {(relation, mode) for relation, mode in seen if relation in stood}
    assert second.locks == ()
    assert all(held.held_ms >= 200 for held in first.locks)
    assert (first.sql, first.transaction, first.revision) == (sql, 0, "r1")


def let_go_once_waited_for(dsn: str, other: psycopg.Connection) -> None:
    """End a transaction once the migration waits for it, and has been seen to."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(200):
            if connection.execute(WAITS.encode()).fetchone() != (0,):
                break
            time.sleep(0.01)
        time.sleep(0.05)
    other.rollback()


@pytest.mark.parametrize("sql", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_the_trace_of_a_statement_outside_of_transactions_is_what_a_sample_sees(
    sql: str, tables: ProvisionedDatabase, tmp_path: Path
) -> None:
    body = f'    with op.get_context().autocommit_block():\n        op.execute("{sql}")'
    history = one_revision(tmp_path, body)
    # Another session makes it wait, so that who samples cannot miss it.
    with psycopg.connect(tables.owner_dsn) as other:
        if "VACUUM" in sql:
            # It would not come to its statement behind a lock: so many rows last long enough to be seen.
            other.execute("INSERT INTO parent SELECT n, 'p' || n FROM generate_series(20001, 400000) n")
            other.commit()
        else:
            other.execute("LOCK TABLE parent, child IN ROW EXCLUSIVE MODE")
        release = threading.Thread(target=let_go_once_waited_for, args=(tables.owner_dsn, other))
        release.start()
        trace, seen = traced(tables.owner_dsn, history)
        release.join()
    (statement,) = trace.statements
    assert statement.transaction is None
    found = strongest((held.lock.relation, held.lock.mode) for held in statement.locks)
    assert found == strongest(seen) != {}


def strongest(locks: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The lock that matters of each table."""
    ranked = sorted(((name, STRENGTH.index(mode)) for name, mode in locks), key=lambda one: one[1])
    return {name: STRENGTH[rank] for name, rank in ranked if name in {"parent", "child"}}


def test_what_was_rolled_back_is_not_in_the_trace(tables: ProvisionedDatabase, tmp_path: Path) -> None:
    body = '    op.execute("ALTER TABLE parent ADD COLUMN a text")\n    op.execute("SELECT 1 / 0")'
    with Trace.of(tables.owner_dsn) as trace, pytest.raises(RevisionFailed):
        upgrade(tables.owner_dsn, one_revision(tmp_path, body), release_id="r", record=False, trace=trace)
    assert trace.statements == ()


def test_rows_and_parameters_are_told(tables: ProvisionedDatabase, tmp_path: Path) -> None:
    body = (
        "    import sqlalchemy as sa\n"
        '    op.execute("UPDATE parent SET amount = 3 WHERE id <= 7")\n'
        "    delete = sa.text('DELETE FROM child WHERE note = :n OR note LIKE :like')\n"
        "    op.get_bind().execute(delete, {'n': \"c'5\", 'like': '%1000%'})\n"
        "    op.bulk_insert(sa.table('child', sa.column('id'), sa.column('note')),"
        " [{'id': -1, 'note': 'a'}, {'id': -2, 'note': 'b'}])"
    )
    trace, _ = traced(tables.owner_dsn, one_revision(tmp_path, body))
    update, delete, insert = trace.statements
    assert update.rows == 7
    assert delete.sql == "DELETE FROM child WHERE note = 'c''5' OR note LIKE '%1000%'"
    assert "VALUES ( -1, 'a');\n" in insert.sql
    assert "VALUES ( -2, 'b')" in insert.sql
    assert [held.lock for held in update.locks] == [Lock("parent", "RowExclusiveLock")]
