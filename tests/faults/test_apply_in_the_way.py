"""Sessions that stand in the way of a revision: nobody queues behind it, and who holds it up is named."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.apply.errors import HalfApplied, StatementTooLong
from migrations.apply.migrate import Progress, upgrade
from migrations.errors import LockBudgetExceeded
from migrations.history.revisions import History

WIDEN = 'op.execute("ALTER TABLE a ADD COLUMN n int")'


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., History]:
    def history(*bodies: str) -> History:
        for number, body in enumerate(bodies, 1):
            below = f'"r{number - 1}"' if number > 1 else None
            (tmp_path / f"r{number}.py").write_text(
                f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
                f"def upgrade():\n    {body}\n"
            )
        return History.load(tmp_path)

    return history


@pytest.fixture
def watcher(database: ProvisionedDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
        connection.execute(f'SET ROLE "{database.owner}"'.encode())
        connection.execute("CREATE TABLE a (id int)")
        connection.execute("RESET ROLE")
        connection.execute(f'GRANT SELECT ON a TO "{database.app}"'.encode())
        yield connection


def is_old(watcher: psycopg.Connection, pid: int, age_s: float) -> None:
    """Wait until a session's transaction, and its idleness, have an age."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        row = watcher.execute(
            "SELECT clock_timestamp() - state_change > %s * interval '1 s' FROM pg_stat_activity WHERE pid = %s",
            (age_s, pid),
        ).fetchone()
        if row and row[0]:
            return
    raise AssertionError("it grows no older")


def test_nobody_queues_behind_a_revision_that_waits_for_a_long_transaction(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    queued: list[object] = []
    told: list[Progress] = []
    with psycopg.connect(database.app_dsn, application_name="report") as holder:
        holder.execute("SELECT * FROM a")
        pid = holder.info.backend_pid
        is_old(watcher, pid, 0.2)

        def tell(event: Progress) -> None:
            told.append(event)
            if event.kind == "waiting":
                queued.extend(watcher.execute("SELECT pid FROM pg_locks WHERE NOT granted").fetchall())
                holder.rollback()

        (done,) = upgrade(database.owner_dsn, write(WIDEN), release_id="r", on_event=tell)
    assert [one.kind for one in told] == ["waiting", "applied"]
    waiting = told[0]
    assert waiting.detail == "AccessShareLock on a"
    (who,) = waiting.sessions
    assert (who.pid, who.user, who.application) == (pid, database.app, "report")
    assert (who.query, who.state) == ("SELECT * FROM a", "idle in transaction")
    assert who.age_s > 0.1
    assert queued == []
    assert done.attempts == 2
    assert done.waited_ms > 0


def test_policy_end_ends_those_that_sit_idle_and_keeps_a_record(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    told: list[Progress] = []
    with (
        psycopg.connect(database.app_dsn, application_name="forgotten") as idle,
        psycopg.connect(database.app_dsn, application_name="elsewhere") as elsewhere,
    ):
        elsewhere.execute("SELECT 1")
        idle.execute("SELECT * FROM a")
        pid = idle.info.backend_pid
        is_old(watcher, pid, 0.4)
        (done,) = upgrade(
            database.owner_dsn,
            write(WIDEN),
            release_id="r-9",
            on_event=told.append,
            policy="end",
            end_idle_after_s=0.3,
        )
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
        elsewhere.execute("SELECT 1")
    assert [one.pid for one in done.ended] == [pid]
    assert "ended" in [one.kind for one in told]
    kept = watcher.execute("SELECT revision, release_id, pid, application, query FROM pilotage.ended_sessions")
    assert kept.fetchall() == [("r1", "r-9", pid, "forgotten", "SELECT * FROM a")]


@pytest.mark.parametrize("busy", [True, False])
def test_policy_end_never_ends_who_works_or_has_not_sat_for_long(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], *, busy: bool
) -> None:
    with psycopg.connect(database.app_dsn) as holder:
        holder.execute("SELECT * FROM a")
        is_old(watcher, holder.info.backend_pid, 0.2)
        work = threading.Thread(target=lambda: holder.execute("SELECT pg_sleep(1.5)"))
        if busy:
            work.start()
        with pytest.raises(LockBudgetExceeded, match=f"pid {holder.info.backend_pid} of {database.app}"):
            upgrade(
                database.owner_dsn,
                write(WIDEN),
                release_id="r",
                budget_s=0.5,
                policy="end",
                end_idle_after_s=0 if busy else 60,
            )
        if busy:
            work.join()
        assert not holder.closed


def test_policy_end_without_the_right_waits_and_says_so(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    write: Callable[..., History],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher.execute(f'REVOKE pg_signal_backend, neon_superuser FROM "{database.owner}"'.encode())
    watcher.execute(f'GRANT pg_monitor TO "{database.owner}"'.encode())
    with psycopg.connect(database.app_dsn) as holder:
        holder.execute("SELECT * FROM a")
        is_old(watcher, holder.info.backend_pid, 0.2)
        with pytest.raises(LockBudgetExceeded):
            upgrade(database.owner_dsn, write(WIDEN), release_id="r", budget_s=1.5, policy="end", end_idle_after_s=0.1)
        holder.execute("SELECT 1")
    assert "may not be ended" in caplog.text
    assert "It is waited for" in caplog.text


def test_a_long_transaction_is_seen_where_the_role_may_not_see_its_age(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    watcher.execute(f'REVOKE pg_monitor, pg_read_all_stats, neon_superuser FROM "{database.owner}"'.encode())
    told: list[str] = []
    with psycopg.connect(database.app_dsn) as holder:
        holder.execute("SELECT * FROM a")

        def tell(event: Progress) -> None:
            told.append(event.kind)
            if event.kind == "waiting":
                assert event.sessions[0].pid == holder.info.backend_pid
                assert event.sessions[0].since is None
                holder.rollback()

        upgrade(database.owner_dsn, write(WIDEN), release_id="r", on_event=tell)
    assert told == ["waiting", "applied"]


def test_a_statement_that_stops_others_for_too_long_is_named_and_leaves_nothing(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    watcher.execute("INSERT INTO a SELECT generate_series(1, 10)")
    slow = (
        'op.execute("CREATE FUNCTION slow(int) RETURNS int LANGUAGE sql'
        ' AS $$ SELECT $1 + (pg_sleep(1) IS NULL)::int $$");'
        ' op.execute("CREATE TABLE b (id int)"); '
    )
    check = 'op.execute("ALTER TABLE a ADD CONSTRAINT c CHECK (slow(id) > 0){}")'
    history = write(slow + check.format(""))
    with pytest.raises(StatementTooLong) as caught:
        upgrade(database.owner_dsn, history, release_id="r", statement_timeout_s=0.4)
    assert not caught.value.transient
    assert (caught.value.revision, caught.value.limit_ms, caught.value.relations) == ("r1", 400, ("a",))
    assert "--statement-timeout-s" in str(caught.value)
    assert watcher.execute("SELECT to_regclass('b') IS NULL").fetchone() == (True,)
    # The same under a lock that stops nobody takes as long as it takes; so does a table that nobody knows yet.
    valid = 'op.execute("ALTER TABLE a VALIDATE CONSTRAINT c"); op.execute("SELECT pg_sleep(0.5)")'
    new = 'op.execute("CREATE TABLE d AS SELECT 1 AS id"); op.execute("ALTER TABLE d ADD CHECK (slow(id) > 0)")'
    watcher.execute("DELETE FROM a WHERE id > 1")
    history = write(slow + check.format(" NOT VALID"), f"{valid}; {new}")
    assert len(upgrade(database.owner_dsn, history, release_id="r", statement_timeout_s=0.4)) == 2


def test_whom_a_revision_made_wait_is_recorded(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    history = write(f'{WIDEN}; op.execute("SELECT pg_sleep(1)")')
    done: list[int] = []

    def read() -> None:
        with psycopg.connect(database.app_dsn, application_name="reader", autocommit=True) as reader:
            held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'a'::regclass"
            while reader.execute(held).fetchone() == (0,):
                pass
            reader.execute("SELECT * FROM a")
            done.append(reader.info.backend_pid)

    thread = threading.Thread(target=read)
    thread.start()
    (one,) = upgrade(database.owner_dsn, history, release_id="r")
    thread.join()
    (blocked,) = one.blocked
    assert (blocked.pid, blocked.user, blocked.application) == (done[0], database.app, "reader")
    assert blocked.query == "SELECT * FROM a"
    assert 0 < blocked.waited_ms == one.blocked_ms <= one.duration_ms
    kept = watcher.execute("SELECT attempts, waited_ms, blocked_ms FROM pilotage.applied_revisions").fetchone()
    assert kept == (1, 0, one.blocked_ms)


def test_what_a_statement_hides_the_first_try_tells(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    text = "SELECT 'ALTER TABLE ' || relname || ' ADD n int' FROM pg_class WHERE relname = 'a'"
    hidden = f"DO $$ BEGIN EXECUTE ({text}); END $$"
    told: list[Progress] = []
    with psycopg.connect(database.app_dsn) as holder:
        holder.execute("SELECT * FROM a")
        is_old(watcher, holder.info.backend_pid, 0.2)

        def tell(event: Progress) -> None:
            told.append(event)
            if event.kind == "waiting":
                holder.rollback()

        upgrade(database.owner_dsn, write(f'op.execute("{hidden}")'), release_id="r", on_event=tell)
    assert [one.kind for one in told] == ["lock timeout", "waiting", "applied"]
    assert told[1].detail == "AccessShareLock on a"


def test_the_command_ends_who_sits_idle_and_tells_of_it(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    write: Callable[..., History],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(WIDEN)
    monkeypatch.setattr("migrations.history.revisions.VERSIONS", tmp_path)
    with closing(psycopg.connect(database.app_dsn, application_name="forgotten")) as idle:
        idle.execute("SELECT * FROM a")
        is_old(watcher, idle.info.backend_pid, 0.3)
        options = ("--policy", "end", "--end-idle-after-s", "0.2", "--statement-timeout-s", "3", "--json")
        ran = CliRunner().invoke(app, ["apply", "--database-url", database.owner_dsn, *options])
        assert ran.exit_code == 0, ran.output
        (one,) = json.loads(ran.stdout)
        assert [who["application"] for who in one["ended"]] == ["forgotten"]
        assert f"pid {idle.info.backend_pid} of {database.app} (forgotten), idle in transaction" in ran.stderr


BLOCK = """with op.get_context().autocommit_block():
        op.execute("INSERT INTO a VALUES (1)")"""
# What comes after a part that stands, and needs a lock that somebody holds.
AFTER = {
    "in the same block": f"{BLOCK}\n        {WIDEN}",
    "in a transaction": f"{BLOCK}\n    {WIDEN}",
    "in a transaction, after what stops nobody": f"{BLOCK}\n    op.execute('INSERT INTO a VALUES (2)')\n    {WIDEN}",
    "in the block, sent as often as one likes": f"{BLOCK}\n        op.execute('REFRESH MATERIALIZED VIEW m')",
}


@pytest.mark.parametrize("way", list(AFTER))
def test_a_lock_that_is_not_to_be_had_after_a_part_stands_is_tried_for_again(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], way: str
) -> None:
    watcher.execute("CREATE MATERIALIZED VIEW m AS SELECT 1 AS one")
    watcher.execute(f'ALTER MATERIALIZED VIEW m OWNER TO "{database.owner}"'.encode())
    seen: set[str] = set()
    with psycopg.connect(database.superuser_dsn) as other:

        def lock(conn: Connection, cursor: object, statement: str, *rest: object) -> None:
            del conn, cursor, rest
            if statement.startswith(("ALTER TABLE a", "REFRESH")):
                # What has just begun keeps no revision back, so that its lock is asked for.
                other.execute("SELECT FROM a, m")

        def told(event: Progress) -> None:
            seen.add(event.kind)
            if event.kind in {"lock timeout", "waiting"}:
                other.rollback()

        event.listen(Engine, "before_cursor_execute", lock)
        try:
            upgrade(database.owner_dsn, write(AFTER[way]), release_id="r", lock_timeout_ms=1000, on_event=told)
        finally:
            event.remove(Engine, "before_cursor_execute", lock)
    assert seen & {"lock timeout", "waiting"}
    assert watcher.execute("SELECT count(*) FROM a WHERE id = 1").fetchone() == (1,)
    assert watcher.execute("SELECT count(*) FROM pilotage.unfinished_revisions").fetchone() == (0,)


@pytest.mark.parametrize("way", ["in the same block", "in a transaction"])
def test_where_the_budget_ends_after_a_part_stands_that_part_is_named(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], way: str
) -> None:
    with psycopg.connect(database.superuser_dsn) as other:
        other.execute("LOCK TABLE a IN ACCESS SHARE MODE")
        with pytest.raises(LockBudgetExceeded, match="stands: INSERT INTO a VALUES") as caught:
            upgrade(database.owner_dsn, write(AFTER[way]), release_id="r", lock_timeout_ms=200, budget_s=0.5)
    assert not caught.value.transient
    with pytest.raises(HalfApplied, match="INSERT INTO a VALUES"):
        upgrade(database.owner_dsn, write(AFTER[way]), release_id="r")
    assert watcher.execute("SELECT count(*) FROM a").fetchone() == (1,)
