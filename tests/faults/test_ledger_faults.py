import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import stamina
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from deployments.ledger import (
    Ledger,
    LedgerBusy,
    LedgerTakesNoWrites,
    LedgerUnreachable,
    Release,
    ReleaseAlive,
    ReleaseRunning,
    engines,
    holder_state,
)

HOLDER = """
import sys
from deployments.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
release = ledger.begin_release(
    target="production", ref="v2", commit_sha="5d1c", target_revision="head",
    requested_by="ana", flow_run_id=None, lease_s=600,
)
details = {"deployment": "dpl_1", "maintenance": True}
with ledger.lease_kept(release.id, 600), ledger.step(release.id, "promote", details):
    print(release.id, flush=True)
    sys.stdin.read()
"""


def begin(ledger: Ledger, lease_s: float = 60) -> Release:
    return ledger.begin_release(
        target="production",
        ref="v2",
        commit_sha="5d1c",
        target_revision="head",
        requested_by="ana",
        flow_run_id=None,
        lease_s=lease_s,
    )


class CuttingProxy:
    """A TCP proxy before PostgreSQL that can lose the reply to a commit, or refuse everybody."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.replies_to_lose = 0
        self.away = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        self.cut()

    def cut(self) -> None:
        """Cut every connection."""
        for each in self._open:
            shut_down_connection(each)
        self._open.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.away:
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                self._open += [client, server]
                lost = threading.Event()
                threading.Thread(target=self._forward, args=(client, server, lost), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client, lost), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"COMMIT" in data and self.replies_to_lose:
                    self.replies_to_lose -= 1
                    lost.set()
                server.sendall(data)
        shut_down_connection(server)

    def _answer(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while (data := server.recv(65536)) and not lost.is_set():
                client.sendall(data)
        shut_down_connection(client)


def shut_down_connection(connection: socket.socket) -> None:
    # Shut down, not closed alone: another thread may be reading from it.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.fixture
def dsn(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("database").owner_dsn)


@pytest.fixture
def proxy(dsn: str) -> Iterator[CuttingProxy]:
    address = make_url(dsn)
    proxy = CuttingProxy(address.host or "127.0.0.1", address.port or 5432)
    yield proxy
    proxy.close()


@pytest.fixture
def ledger(dsn: str, proxy: CuttingProxy) -> Iterator[Ledger]:
    address = make_url(dsn).set(host="127.0.0.1", port=proxy.port)
    with Ledger.open(address.render_as_string(hide_password=False)) as opened:
        yield opened


def test_release_of_a_killed_process_is_closed_before_its_lease_expires(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with (
        subprocess.Popen([sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
        Ledger.open(url) as ledger,
    ):
        assert holder.stdout is not None
        release_id = holder.stdout.readline().decode().strip()
        with pytest.raises(ReleaseAlive):
            ledger.abandon(release_id, reason="too soon", by="bo")
        os.kill(holder.pid, signal.SIGKILL)
        # Waited for without reaping: a zombie is gone as well.
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ReleaseRunning, match="its process is gone") as refused:
            begin(ledger)
        assert refused.value.closable
        left = ledger.leftovers(release_id)
        assert [each.step for each in left.unfinished] == ["promote"]
        assert left.deployments == ("dpl_1",)
        assert left.maintenance
        assert ledger.abandon(release_id, reason="killed", by="bo").state == "abandoned"
        assert begin(ledger).state == "running"


def test_holder_is_gone_when_its_pid_is_another_process_now(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        holder = begin(ledger).holder
    assert holder.startswith(f"{socket.gethostname()}:{os.getpid()}:")
    world, _, started = holder.rpartition(".")
    assert holder_state(holder) == "alive"
    assert holder_state(f"{world}.{int(started) + 1}") == "gone"


def test_holder_on_another_machine_cannot_be_told_dead() -> None:
    assert holder_state("elsewhere:1:4dac1e09-4026531836.1") == "unknown"
    assert holder_state("no holder at all") == "unknown"


WRITES: dict[str, Callable[[Ledger, Release], object]] = {
    "begin": lambda ledger, release: ledger.end_release(release.id, "succeeded", "done") and begin(ledger),
    "renew": lambda ledger, release: ledger.renew_lease(release.id, 60),
    "step": lambda ledger, release: ledger.begin_step(release.id, "promote"),
    "end": lambda ledger, release: ledger.end_release(release.id, "succeeded", "done"),
    "catalog": lambda ledger, release: ledger.record_catalog(
        "production", "production", release_id=release.id, revision="r", digest="d", catalog_json="{}"
    ),
    "announcement": lambda ledger, _: ledger.announce_once("production", "production", "d"),
    "message": lambda ledger, _: ledger.keep_message("production", "done", fact="f") is not None,
}


@pytest.mark.parametrize("write", WRITES)
def test_write_whose_reply_was_lost_is_not_done_twice(
    ledger: Ledger, proxy: CuttingProxy, dsn: str, write: str
) -> None:
    release = begin(ledger)
    proxy.replies_to_lose = 1
    assert WRITES[write](ledger, release) is not False
    assert proxy.replies_to_lose == 0
    assert len(ledger.releases()) == (2 if write == "begin" else 1)
    with psycopg.connect(dsn) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM steps), (SELECT count(*) FROM catalogs),"
            " (SELECT count(*) FROM announcements), (SELECT count(*) FROM messages)"
        ).fetchone()
    assert counts == tuple(int(write == one) for one in ("step", "catalog", "announcement", "message"))


def test_abandoning_whose_reply_was_lost_is_done(ledger: Ledger, proxy: CuttingProxy) -> None:
    release = begin(ledger, lease_s=-1)
    proxy.replies_to_lose = 1
    assert ledger.abandon(release.id, reason="gone", by="bo").state == "abandoned"


def test_sessions_terminated_by_the_server_are_replaced(ledger: Ledger, dsn: str) -> None:
    release = begin(ledger)
    with psycopg.connect(dsn, autocommit=True) as connection, ledger.step(release.id, "migrate"):
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pilotage ledger' AND datname = current_database()"
        )
    assert [each.event for each in ledger.steps(release.id)] == ["begun", "done"]


def test_session_terminated_in_the_middle_of_a_write_writes_once(ledger: Ledger, dsn: str) -> None:
    release = begin(ledger)
    with psycopg.connect(dsn) as holding, psycopg.connect(dsn, autocommit=True) as other:
        holding.execute("SELECT FROM releases FOR UPDATE")
        writer = threading.Thread(target=ledger.note, args=(release.id, "seal", {"lsn": "0/1"}))
        writer.start()
        waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not other.execute(f"SELECT pid {waiting}").fetchall():
            pass
        other.execute(f"SELECT pg_terminate_backend(pid) {waiting}")
        holding.rollback()
        writer.join(30)
    assert [each.step for each in ledger.steps(release.id)] == ["seal"]


def test_ledger_that_is_away_for_good_is_told_and_may_be_tried_again(ledger: Ledger, proxy: CuttingProxy) -> None:
    release = begin(ledger)
    proxy.away = True
    proxy.cut()
    with stamina.set_testing(True, attempts=2), pytest.raises(LedgerUnreachable, match="does not answer") as away:
        ledger.note(release.id, "watch")
    assert away.value.transient


def test_failure_that_the_ledger_cannot_take_stays_the_failure(ledger: Ledger, proxy: CuttingProxy) -> None:
    release = begin(ledger)

    def migrate() -> None:
        with ledger.step(release.id, "migrate"):
            proxy.away = True
            proxy.cut()
            raise ValueError("column does not exist")

    with stamina.set_testing(True), pytest.raises(ValueError, match="column does not exist") as failed:
        migrate()
    assert "The ledger could not take this failure" in failed.value.__notes__[0]
    proxy.away = False
    assert [each.step for each in ledger.leftovers(release.id).unfinished] == ["migrate"]


READ_ONLY = (
    "ALTER DATABASE {database} SET default_transaction_read_only = on",
    "ALTER DATABASE {database} RESET default_transaction_read_only",
)
FULL = (
    (
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;"
        "CREATE TRIGGER full_disk BEFORE INSERT ON steps EXECUTE FUNCTION full_disk()"
    ),
    "DROP FUNCTION full_disk() CASCADE",
)


@pytest.mark.parametrize(("begins", "ends"), [READ_ONLY, FULL], ids=["read-only", "full"])
def test_ledger_that_takes_no_writes_for_a_moment_is_written_to_afterwards(
    ledger: Ledger, dsn: str, begins: str, ends: str
) -> None:
    release = begin(ledger)
    with psycopg.connect(dsn, autocommit=True) as session:
        database = f'"{session.info.dbname}"'
        session.execute(begins.format(database=database).encode())
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pilotage ledger' AND datname = current_database()"
        )
        with stamina.set_testing(True, attempts=2), pytest.raises(LedgerTakesNoWrites, match="takes no writes") as told:
            ledger.note(release.id, "watch")
        assert told.value.transient
        assert ledger.steps(release.id) == ()
        writer = threading.Thread(target=ledger.note, args=(release.id, "watch"))
        writer.start()
        session.execute("SET default_transaction_read_only = off")
        session.execute(ends.format(database=database).encode())
        writer.join(30)
    assert [each.step for each in ledger.steps(release.id)] == ["watch"]


def test_sqlite_ledger_whose_disk_is_full_says_so_and_may_be_tried_again(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        release = begin(ledger)

    def no_more_pages(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(Engine, "connect", no_more_pages)
    try:
        with (
            Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger,
            stamina.set_testing(True, attempts=2),
            pytest.raises(LedgerTakesNoWrites, match=r"full\. Make room"),
        ):
            ledger.note(release.id, "watch", {"text": "x" * 100_000})
    finally:
        event.remove(Engine, "connect", no_more_pages)


def test_lease_that_could_not_be_renewed_is_renewed_as_soon_as_the_ledger_is_back(
    ledger: Ledger, proxy: CuttingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    release = begin(ledger)
    with ledger.lease_kept(release.id, 0.03) as kept, stamina.set_testing(True):
        proxy.away = True
        proxy.cut()
        until(lambda: "could not be renewed" in caplog.text)
        with pytest.raises(LedgerUnreachable), ledger.step(release.id, "promote"):
            pytest.fail("an act was begun though nobody could be asked whether the release is still ours")
        proxy.away = False
        before = ledger.release(release.id).lease_expires_at
        until(lambda: ledger.release(release.id).lease_expires_at > before)
        assert kept.lost is None
        with ledger.step(release.id, "promote"):
            pass
    assert [step.event for step in ledger.steps(release.id)] == ["begun", "done"]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_sqlite_ledger_held_by_somebody_else_is_busy_and_then_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.02)
    path = tmp_path / "ledger.db"
    with Ledger.open(f"sqlite:///{path}") as ledger, contextlib.closing(sqlite3.connect(path)) as other:
        release = begin(ledger)
        other.execute("BEGIN IMMEDIATE")
        assert ledger.release(release.id) == release
        with stamina.set_testing(True, attempts=2), pytest.raises(LedgerBusy, match="locked") as busy:
            ledger.note(release.id, "watch")
        assert busy.value.transient
        writer = threading.Thread(target=ledger.note, args=(release.id, "watch"))
        writer.start()
        other.rollback()
        writer.join(30)
        assert [each.step for each in ledger.steps(release.id)] == ["watch"]
