"""Applying revisions while things break: who holds the lock, a cut connection, a killed process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.database.locks import ADVISORY_KEY, MIGRATING
from migrations.errors import AdvisoryLockHeld, DatabaseUnreachable, RevisionFailed
from migrations.history.revisions import History

SLOW = 'op.execute("CREATE TABLE half (id int)"); op.execute("SELECT pg_sleep(600)")'
APPLY = """
import json, sys
from pathlib import Path
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History
given = json.loads(sys.stdin.read())
upgrade(given["dsn"], History.load(Path(given["folder"])), release_id="killed")
"""


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
        yield connection


def sleeping_pid(watcher: psycopg.Connection) -> int:
    """Wait until a revision of the database sleeps."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        row = watcher.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
            " AND wait_event = 'PgSleep'",
            (MIGRATING,),
        ).fetchone()
        if row:
            return int(row[0])
    raise AssertionError("no revision sleeps")


def standing(watcher: psycopg.Connection) -> tuple[object, ...] | None:
    return watcher.execute(
        "SELECT (SELECT array_agg(version_num) FROM alembic_version),"
        " (SELECT array_agg(revision ORDER BY 1) FROM pilotage.applied_revisions), to_regclass('half') IS NULL"
    ).fetchone()


def test_a_migration_elsewhere_is_named_and_nothing_is_touched(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True, application_name="elsewhere") as other:
        other.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_KEY,))
        pid = other.info.backend_pid
        with pytest.raises(AdvisoryLockHeld) as caught:
            upgrade(database.owner_dsn, write("pass"), release_id="r", advisory_wait_s=0)
        assert caught.value.transient
        (holder,) = caught.value.holders
        assert (holder.pid, holder.user, holder.application) == (pid, database.owner, "elsewhere")
        assert holder.since is not None
        assert watcher.execute("SELECT to_regclass('alembic_version') IS NULL").fetchone() == (True,)
    assert len(upgrade(database.owner_dsn, write("pass"), release_id="r")) == 1


def test_a_connection_cut_in_the_middle_leaves_nothing_half_done(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    history = write("pass", SLOW)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            upgrade(database.owner_dsn, history, release_id="r")
        except DatabaseUnreachable as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    watcher.execute("SELECT pg_terminate_backend(%s)", (sleeping_pid(watcher),))
    thread.join()
    (error,) = raised
    assert isinstance(error, DatabaseUnreachable)
    assert error.transient
    assert "password" not in str(error)
    assert standing(watcher) == (["r1"], ["r1"], True)


def test_a_killed_process_leaves_nothing_half_done_and_the_next_one_finishes(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History], tmp_path: Path
) -> None:
    write("pass", SLOW)
    victim = subprocess.Popen([sys.executable, "-c", APPLY], stdin=subprocess.PIPE, text=True)
    assert victim.stdin is not None
    victim.stdin.write(json.dumps({"dsn": database.owner_dsn, "folder": str(tmp_path)}))
    victim.stdin.close()
    sleeping_pid(watcher)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    done = upgrade(
        database.owner_dsn,
        write("pass", 'op.execute("CREATE TABLE half (id int)"); op.execute("DROP TABLE half")'),
        release_id="r",
        advisory_wait_s=60,
    )
    assert [one.revision for one in done] == ["r2"]
    assert standing(watcher) == (["r2"], ["r1", "r2"], True)


def test_two_threads_of_one_process_migrate_one_after_the_other(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    history = write(*['op.execute("SELECT pg_sleep(0.01)")'] * 4)
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(len(upgrade(database.owner_dsn, history, release_id="r"))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 0, 4]
    assert standing(watcher) == (["r4"], ["r1", "r2", "r3", "r4"], True)


def test_a_server_that_is_not_there_is_transient_and_keeps_the_password_out(write: Callable[..., History]) -> None:
    with pytest.raises(DatabaseUnreachable, match=r"shop on 127\.0\.0\.1:1 does not answer") as caught:
        upgrade("postgresql://owner:hunter2@127.0.0.1:1/shop", write("pass"), release_id="r")
    assert caught.value.transient
    assert "hunter2" not in str(caught.value)
    with pytest.raises(DatabaseUnreachable, match="cannot be read") as badly_written:
        upgrade("postgres:/owner:hunter2@127.0.0.1/shop", write("pass"), release_id="r")
    assert "hunter2" not in str(badly_written.value)


def test_a_cancelled_statement_is_a_failed_revision_and_not_a_cut_connection(
    database: ProvisionedDatabase, watcher: psycopg.Connection, write: Callable[..., History]
) -> None:
    history = write("pass", SLOW)
    raised: list[RevisionFailed] = []

    def run() -> None:
        try:
            upgrade(database.owner_dsn, history, release_id="r")
        except RevisionFailed as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    watcher.execute("SELECT pg_cancel_backend(%s)", (sleeping_pid(watcher),))
    thread.join()
    assert [(error.sqlstate, error.statement) for error in raised] == [("57014", "SELECT pg_sleep($1)")]
    assert standing(watcher) == (["r1"], ["r1"], True)
