"""Backfills while things break: each row goes through exactly once, whatever ends the run."""

import json
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
from migrations.backfill.errors import BackfillIncomplete, BackfillStopped, BackfillUnknown
from migrations.backfill.operation import BackfillProgress, reporting_progress
from migrations.backfill.records import backfill_records, restart, set_paused
from migrations.database.locks import MIGRATING
from migrations.errors import DatabaseUnreachable, MigrationError
from migrations.history.revisions import History

ROWS = 1200
# Slow enough that a batch is a few dozen rows, and that somebody can come between two of them.
SLOW = """op.backfill("counters", {"n": "n + 1 + length(pg_sleep(0.0002)::text)"})"""
APPLY = """
import json, sys
from pathlib import Path
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History
given = json.loads(sys.stdin.read())
upgrade(given["dsn"], History.load(Path(given["folder"])), release_id="killed")
"""


@pytest.fixture
def watcher(database: ProvisionedDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def history(database: ProvisionedDatabase, watcher: psycopg.Connection, tmp_path: Path) -> History:
    """A table with rows, and a revision that counts each of them up."""
    bodies = ('op.execute("CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL)")', SLOW)
    for number, body in enumerate(bodies, 1):
        below = f'"r{number - 1}"' if number > 1 else None
        (tmp_path / f"r{number}.py").write_text(
            f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
            f"def upgrade():\n    {body}\n"
        )
    found = History.load(tmp_path)
    upgrade(database.owner_dsn, found, target="r1", release_id="test")
    watcher.execute("INSERT INTO counters SELECT g, 0 FROM generate_series(1, %s) g", (ROWS,))
    watcher.execute("ANALYZE counters")
    return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.002)


def batches(watcher: psycopg.Connection) -> int:
    if watcher.execute("SELECT to_regclass('pilotage.backfill_batches') IS NULL").fetchone() == (True,):
        return 0
    return len(watcher.execute("SELECT FROM pilotage.backfill_batches").fetchall())


def counts(watcher: psycopg.Connection) -> list[tuple[object, ...]]:
    return watcher.execute("SELECT n, count(*) FROM counters GROUP BY n ORDER BY n").fetchall()


class Applying(threading.Thread):
    """An upgrade in a thread of its own; what it raised, and what it told."""

    def __init__(self, dsn: str, history: History) -> None:
        super().__init__()
        self.dsn, self.history = dsn, history
        self.raised: MigrationError | None = None
        self.told: list[BackfillProgress] = []

    def run(self) -> None:
        try:
            with reporting_progress(self.told.append):
                upgrade(self.dsn, self.history, release_id="test", advisory_wait_s=60)
        except MigrationError as error:
            self.raised = error


def test_killed_again_and_again_it_goes_on_where_it_was(
    database: ProvisionedDatabase, watcher: psycopg.Connection, history: History, tmp_path: Path
) -> None:
    given = json.dumps({"dsn": database.owner_dsn, "folder": str(tmp_path)})
    for _ in range(3):
        before = batches(watcher)
        victim = subprocess.Popen([sys.executable, "-c", APPLY], stdin=subprocess.PIPE, text=True)
        assert victim.stdin is not None
        victim.stdin.write(given)
        victim.stdin.close()
        wait_until(lambda before=before: batches(watcher) > before, "no batch")
        victim.send_signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
    assert len(counts(watcher)) == 2
    upgrade(database.owner_dsn, history, release_id="test", advisory_wait_s=60)
    assert counts(watcher) == [(1, ROWS)]
    assert watcher.execute(
        "SELECT sum(changed), count(DISTINCT xid) = count(*) FROM pilotage.backfill_batches"
    ).fetchone() == (ROWS, True)


@pytest.mark.parametrize("application", [MIGRATING, "pilotage lock"])
def test_a_cut_connection_or_a_lost_lock_stops_it_between_two_batches(
    database: ProvisionedDatabase, watcher: psycopg.Connection, history: History, application: str
) -> None:
    applying = Applying(database.owner_dsn, history)
    applying.start()
    wait_until(lambda: batches(watcher) > 1, "no batch")
    watcher.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = %s",
        (application,),
    )
    applying.join()
    assert isinstance(applying.raised, DatabaseUnreachable | BackfillStopped)
    assert applying.raised.transient
    assert len(counts(watcher)) == 2
    upgrade(database.owner_dsn, history, release_id="test", advisory_wait_s=60)
    assert counts(watcher) == [(1, ROWS)]


def test_two_at_once_without_a_migration_lock_share_the_rows(
    database: ProvisionedDatabase, watcher: psycopg.Connection, history: History, tmp_path: Path
) -> None:
    plainly = (
        "import sys\nfrom pathlib import Path\nfrom alembic import command\n"
        "from migrations.history.revisions import History\n"
        "command.upgrade(History.load(Path(sys.argv[1])).alembic_config(), 'head')"
    )
    environment = {"DATABASE_URL": database.owner_dsn, "PYTHONPATH": str(Path.cwd())}
    both = [subprocess.Popen([sys.executable, "-c", plainly, tmp_path], env=environment) for _ in range(2)]
    assert 0 in [one.wait() for one in both]
    assert counts(watcher) == [(1, ROWS)]


def test_it_pauses_goes_on_and_shows_how_far_it_is(
    database: ProvisionedDatabase, watcher: psycopg.Connection, history: History
) -> None:
    applying = Applying(database.owner_dsn, history)
    applying.start()
    wait_until(lambda: batches(watcher) > 1, "no batch")
    assert set_paused(database.owner_dsn, None, paused=True) == ("r2",)
    wait_until(lambda: any("resume r2" in one.waiting for one in applying.told), "no pause")
    done = batches(watcher)
    (kept,) = backfill_records(database.owner_dsn)
    assert (kept.revision, kept.relation, kept.paused, kept.finished, kept.closed) == (
        "r2",
        "public.counters",
        True,
        False,
        False,
    )
    assert 0 < kept.passed < ROWS == kept.estimate
    assert watcher.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL"
        " AND datname = current_database()",
        (MIGRATING,),
    ).fetchone() == (0,)
    assert batches(watcher) == done
    with pytest.raises(BackfillUnknown, match="no unfinished backfill of revision r1; it keeps r2"):
        set_paused(database.owner_dsn, "r1", paused=False)
    assert set_paused(database.owner_dsn, "r2", paused=False) == ("r2",)
    applying.join()
    assert applying.raised is None
    assert counts(watcher) == [(1, ROWS)]
    assert [one.closed for one in backfill_records(database.owner_dsn)] == [True]
    with pytest.raises(BackfillUnknown):
        set_paused(database.owner_dsn, "r2", paused=True)


def test_rows_written_behind_it_are_told_and_a_restart_fills_them_in(
    database: ProvisionedDatabase, watcher: psycopg.Connection, history: History, tmp_path: Path
) -> None:
    del history
    text = (tmp_path / "r2.py").read_text()
    (tmp_path / "r2.py").write_text(text.replace(SLOW, SLOW.replace("})", '}, where="n = 0")')))
    edited = History.load(tmp_path)
    applying = Applying(database.owner_dsn, edited)
    applying.start()
    wait_until(lambda: batches(watcher) > 1, "no batch")
    watcher.execute("INSERT INTO counters VALUES (-5, 0)")
    applying.join()
    assert isinstance(applying.raised, BackfillIncomplete)
    assert applying.raised.remaining == 1
    assert "-5" not in str(applying.raised)
    with pytest.raises(BackfillIncomplete):
        upgrade(database.owner_dsn, edited, release_id="test")
    assert restart(database.owner_dsn, "r2") == ("r2",)
    upgrade(database.owner_dsn, edited, release_id="test")
    assert counts(watcher) == [(1, ROWS + 1)]
