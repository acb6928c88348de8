"""Applying revisions: to a real server, whatever the folder they come from."""

import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import Progress, downgrade, upgrade
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.session import reader
from migrations.errors import (
    HistoryUnreadable,
    LockBudgetExceeded,
    OutOfStep,
    RevisionFailed,
    UnknownRevision,
)
from migrations.history.revisions import History, history_state

CORE, HEAD = "20250122_1030", "20251101_0900"

MakeHistory = Callable[..., History]


@pytest.fixture
def make_history(tmp_path: Path) -> MakeHistory:
    """Write a linear history: each body is the upgrade of one revision, r1, r2, …"""

    def make(*bodies: str, down: str = "pass") -> History:
        for number, body in enumerate(bodies, 1):
            below = f'"r{number - 1}"' if number > 1 else None
            text = (
                f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
                f"def upgrade():\n    {body}\n\ndef downgrade():\n    {down}\n"
            )
            (tmp_path / f"r{number}.py").write_text(text)
        return History.load(tmp_path)

    return make


@pytest.fixture
def oldest(tmp_path: Path) -> History:
    """Our own two oldest revisions."""
    folder = tmp_path / "oldest"
    folder.mkdir()
    for one in History.load().revisions[:2]:
        shutil.copy(one.path, folder)
    return History.load(folder)


def catalog(database: ProvisionedDatabase) -> Catalog:
    with reader(database.owner_dsn) as connection:
        return read_catalog(connection)


def rows(database: ProvisionedDatabase, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.owner_dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def test_upgrade_applies_in_order_and_records_the_checksum_of_each_file(
    database: ProvisionedDatabase, oldest: History
) -> None:
    seen: list[Progress] = []
    done = upgrade(database.owner_dsn, oldest, release_id="r-1", on_event=seen.append)
    assert [one.revision for one in done] == [CORE, HEAD]
    assert [(one.kind, one.revision, one.attempt) for one in seen] == [("applied", CORE, 1), ("applied", HEAD, 1)]
    kept = rows(
        database, "SELECT revision, checksum, release_id, applied_by FROM pilotage.applied_revisions ORDER BY 1"
    )
    assert kept == [
        (one.id, hashlib.sha256(one.path.read_bytes()).hexdigest(), "r-1", database.owner) for one in oldest.revisions
    ]
    assert upgrade(database.owner_dsn, oldest, release_id="r-2") == ()


def test_upgrade_to_a_target_leaves_the_rest_pending(database: ProvisionedDatabase, oldest: History) -> None:
    upgrade(database.owner_dsn, oldest, target=CORE, release_id="r")
    with reader(database.owner_dsn) as connection:
        state = history_state(connection, oldest)
    assert (state.current, state.pending) == ((CORE,), (oldest.revision(HEAD),))
    assert (state.edited, state.deleted, state.unknown, state.unrecorded) == ((), (), (), ())


def test_downgrade_returns_the_exact_catalogue_and_forgets_the_record(
    database: ProvisionedDatabase, oldest: History
) -> None:
    empty = catalog(database)
    upgrade(database.owner_dsn, oldest, target=CORE, release_id="r")
    core = catalog(database)
    upgrade(database.owner_dsn, oldest, release_id="r")
    assert [one.name for one in difference(core, catalog(database))] == ['audit_logs."targetType"']
    assert [one.revision for one in downgrade(database.owner_dsn, oldest, CORE)] == [HEAD]
    assert difference(core, catalog(database)) == ()
    assert rows(database, "SELECT revision FROM pilotage.applied_revisions") == [(CORE,)]
    downgrade(database.owner_dsn, oldest, "base")
    assert difference(empty, catalog(database)) == ()
    assert rows(database, "SELECT count(*) FROM pilotage.applied_revisions") == [(0,)]


def test_failed_revision_leaves_nothing_and_names_its_statement(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(
        'op.execute("CREATE TABLE a (id int)")',
        'op.execute("CREATE TABLE b (id int)"); op.execute("ALTER TABLE b ADD COLUMN id int")',
    )
    with pytest.raises(RevisionFailed) as caught:
        upgrade(database.owner_dsn, history, release_id="r")
    error = caught.value
    assert (error.revision, error.sqlstate, error.transient) == ("r2", "42701", False)
    assert error.statement == "ALTER TABLE b ADD COLUMN id int"
    assert str(error) == (
        'revision r2 failed (SQLSTATE 42701): column "id" of relation "b" already exists in: '
        "ALTER TABLE b ADD COLUMN id int. Its transaction was rolled back; it left nothing"
    )
    assert rows(database, "SELECT to_regclass('a') IS NOT NULL, to_regclass('b') IS NULL") == [(True, True)]
    assert rows(database, "SELECT version_num FROM alembic_version") == [("r1",)]
    assert rows(database, "SELECT revision FROM pilotage.applied_revisions") == [("r1",)]


def test_revision_that_raises_without_sql_is_named_too(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history('op.execute("CREATE TABLE a (id int)"); raise ValueError("no such agent")')
    with pytest.raises(RevisionFailed, match="revision r1 failed: ValueError: no such agent"):
        upgrade(database.owner_dsn, history, release_id="r")
    assert rows(database, "SELECT to_regclass('a') IS NULL") == [(True,)]


CONCURRENTLY = """with op.get_context().autocommit_block():
        op.execute("SELECT set_config('test.timeout', current_setting('lock_timeout'), false)")
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY a_id ON a (id)")
        op.execute("INSERT INTO seen SELECT current_setting('test.timeout')")"""


def test_revision_outside_a_transaction_runs_without_lock_timeout_and_is_recorded(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(
        'op.execute("CREATE TABLE a (id int)"); op.execute("CREATE TABLE seen (t text)")',
        CONCURRENTLY,
        "op.execute(\"INSERT INTO seen SELECT current_setting('lock_timeout')\")",
    )
    done = upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=70)
    assert [one.revision for one in done] == ["r1", "r2", "r3"]
    assert rows(database, "SELECT t FROM seen") == [("0",), ("70ms",)]
    assert rows(database, "SELECT count(*) FROM pilotage.applied_revisions") == [(3,)]


def test_failed_concurrent_build_names_the_duplicate_and_leaves_no_invalid_index(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(
        'op.execute("CREATE TABLE a (id int)"); op.execute("CREATE TABLE seen (t text)");'
        ' op.execute("INSERT INTO a VALUES (1), (1)")',
        CONCURRENTLY,
    )
    with pytest.raises(RevisionFailed) as caught:
        upgrade(database.owner_dsn, history, release_id="r")
    assert "Key (id)" in str(caught.value)
    assert "(1)" not in str(caught.value)
    assert not [one for one in caught.value.left_behind if "invalid index" in one]
    assert rows(database, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert rows(database, "SELECT version_num FROM alembic_version") == [("r1",)]


def test_lock_that_is_never_free_ends_with_its_holder_named(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history('op.execute("CREATE TABLE a (id int)")', 'op.execute("ALTER TABLE a ADD COLUMN n int")')
    upgrade(database.owner_dsn, history, target="r1", release_id="r")
    with psycopg.connect(database.owner_dsn, application_name="somebody") as holder:
        pid = holder.info.backend_pid
        holder.execute("SELECT * FROM a")
        with pytest.raises(LockBudgetExceeded) as caught:
            upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=50, budget_s=0.5)
    error = caught.value
    assert error.transient
    assert [(one.pid, one.user, one.application, one.query) for one in error.blockers] == [
        (pid, database.owner, "somebody", "SELECT * FROM a")
    ]
    assert rows(database, "SELECT version_num FROM alembic_version") == [("r1",)]


def test_lock_that_becomes_free_is_taken_on_a_later_try(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history('op.execute("CREATE TABLE a (id int)")', 'op.execute("ALTER TABLE a ADD COLUMN n int")')
    upgrade(database.owner_dsn, history, target="r1", release_id="r")
    refused = threading.Event()
    with psycopg.connect(database.owner_dsn) as holder:
        holder.execute("SELECT * FROM a")

        def let_go(progress: Progress) -> None:
            if progress.kind in {"lock timeout", "waiting"} and not refused.is_set():
                refused.set()
                holder.rollback()

        (done,) = upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=50, on_event=let_go)
    assert refused.is_set()
    assert done.attempts > 1


def test_nothing_is_touched_where_the_database_or_the_files_are_not_what_was_planned(
    database: ProvisionedDatabase, make_history: MakeHistory, tmp_path: Path
) -> None:
    history = make_history('op.execute("CREATE TABLE a (id int)")', "pass")
    with pytest.raises(UnknownRevision, match="r9 is not in the history; it has, nearest first: r2, r1"):
        upgrade(database.owner_dsn, history, target="r9", release_id="r")
    upgrade(database.owner_dsn, history, release_id="r")
    with pytest.raises(OutOfStep, match="stands at r2: this history has no r2"):
        upgrade(database.owner_dsn, History.load(), release_id="r")
    (tmp_path / "r2.py").write_text("another one")
    with pytest.raises(HistoryUnreadable, match="r2 changed after the plan was read"):
        upgrade(database.owner_dsn, history, release_id="r")


def test_state_tells_edited_deleted_unknown_and_unrecorded(
    database: ProvisionedDatabase, make_history: MakeHistory, tmp_path: Path
) -> None:
    upgrade(database.owner_dsn, make_history("pass", "pass", "pass"), release_id="r")
    (tmp_path / "r3.py").unlink()
    (tmp_path / "r1.py").write_text((tmp_path / "r1.py").read_text() + "# another line\n")
    history = History.load(tmp_path)
    with reader(database.owner_dsn) as connection:
        state = history_state(connection, history)
    assert [one.id for one in state.edited or ()] == ["r1"]
    assert (state.deleted, state.unknown, state.unrecorded, state.pending) == (("r3",), ("r3",), (), None)
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("DELETE FROM pilotage.applied_revisions WHERE revision = 'r2'")
        connection.execute("UPDATE alembic_version SET version_num = 'r2'")
    with reader(database.owner_dsn) as connection:
        assert history_state(connection, history).unrecorded == ("r2",)
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("DROP SCHEMA pilotage CASCADE")
    with reader(database.owner_dsn) as connection:
        without = history_state(connection, history)
    assert (without.edited, without.deleted, without.unrecorded) == (None, None, ("r1", "r2"))


def test_foreign_database_without_leave_for_a_schema_is_migrated_without_records(
    database: ProvisionedDatabase, make_history: MakeHistory, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database.superuser_dsn) as superuser:
        superuser.execute(f'REVOKE ALL ON DATABASE "{database.name}" FROM "{database.app}"'.encode())
        superuser.execute(f'GRANT CONNECT ON DATABASE "{database.name}" TO "{database.app}"'.encode())
        superuser.execute(f'GRANT CREATE ON SCHEMA public TO "{database.app}"'.encode())
    (done,) = upgrade(database.app_dsn, make_history('op.execute("CREATE TABLE a (id int)")'), release_id="r")
    assert not done.recorded
    assert "may not create a schema" in caplog.text


def test_backfill_that_row_level_security_would_hide_rows_from_fails_instead(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(
        'op.execute("CREATE TABLE a (id int); INSERT INTO a VALUES (1)");'
        ' op.execute("ALTER TABLE a ENABLE ROW LEVEL SECURITY"); op.execute("ALTER TABLE a FORCE ROW LEVEL SECURITY")',
        'op.execute("UPDATE a SET id = 2")',
    )
    upgrade(database.owner_dsn, history, target="r1", release_id="r")
    with psycopg.connect(database.superuser_dsn) as superuser:
        superuser.execute(f'ALTER ROLE "{database.owner}" NOBYPASSRLS'.encode())
    with pytest.raises(RevisionFailed, match="row-level security policy") as caught:
        upgrade(database.owner_dsn, history, release_id="r")
    assert caught.value.revision == "r2"


def test_a_revision_goes_on_after_a_failure_that_it_has_put_into_a_savepoint(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(
        'op.execute("CREATE TABLE a (id int PRIMARY KEY)")',
        """bind = op.get_bind()
    for statement in ("ALTER TABLE a ADD id int", "INSERT INTO a VALUES (1), (1)", "INSERT INTO a VALUES (2)"):
        try:
            with bind.begin_nested():
                op.execute(statement)
        except Exception:
            continue
    op.execute("SAVEPOINT one")
    try:
        op.execute("ALTER TABLE a ADD id int")
    except Exception:
        op.execute("/* it was there */ ROLLBACK TO SAVEPOINT one")
    op.execute("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS t")""",
    )
    upgrade(database.owner_dsn, history, release_id="r", lock_timeout_ms=70)
    assert rows(database, "SELECT id, t FROM a, seen") == [(2, "70ms")]
