"""Poolers: what gives each transaction another session is refused before anything is sent, whatever it is called."""

import json
import random
import socket
import struct
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.apply.migrate import downgrade, upgrade
from migrations.catalog.contents import read_catalog
from migrations.database.direct_connections import is_named_pooler
from migrations.database.errors import NoSessionLeft, ThroughPooler
from migrations.database.session import connect, reader
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.revisions import History, history_state
from migrations.restore.receipt_of_writes import receipt
from migrations.restore.restore_point import seal

Mode = Literal["transaction", "statement", "session"]

_STARTUP, _NO_TLS, _IDLE = 196608, b"N", b"I"
# Source: so PgBouncer ends a client that begins a transaction in statement mode.
_NO_TRANSACTIONS = b"SFATAL\0C08P01\0Mtransaction blocks not allowed in statement pooling mode\0\0"


class Pooler:
    """A pooler over sessions of one role, whose password it asks nobody for.

    Args:
        dsn: where its sessions lead to.
        size: how many it has.
        mode: for how long a client keeps the session that it was given.
        pick: which of the idle ones a client is given, by its place among them; the one that came back last is last.
    """

    def __init__(self, dsn: str, size: int, mode: Mode, pick: Callable[[int], int]) -> None:
        self._ends, self._mode, self._pick = ExitStack(), mode, pick
        self._sessions = [self._ends.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in range(size)]
        self._idle = [socket.socket(fileno=socket.dup(one.pgconn.socket)) for one in self._sessions]
        for one in self._idle:
            one.setblocking(True)
            self._ends.callback(one.close)
        self._changed = threading.Condition()
        self._door = self._ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = int(self._door.getsockname()[1])
        self.backends = [one.info.backend_pid for one in self._sessions]
        threading.Thread(target=self._open, daemon=True).start()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._ends.close()

    def _open(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        with client, suppress(OSError, EOFError):
            while struct.unpack("!I", _read(client, struct.unpack("!I", _read(client, 4))[0] - 4)[:4])[0] != _STARTUP:
                client.sendall(_NO_TLS)
            client.sendall(_message(b"R", bytes(4)) + _message(b"S", b"client_encoding\0UTF8\0"))
            client.sendall(
                _message(b"S", b"server_version\x0018.0\0") + _message(b"K", bytes(8)) + _message(b"Z", _IDLE)
            )
            asked = b""
            while asked != b"X":
                asked, whole = _next(client)
                if self._mode == "statement" and asked == b"Q" and whole[5:].startswith(b"BEGIN"):
                    client.sendall(_message(b"E", _NO_TRANSACTIONS))
                    break
                if asked != b"X":
                    server = server or self._take()
                    server.sendall(whole)
                    if asked in b"QS" and _answered(server, client) == _IDLE and self._mode != "session":
                        server = self._give(server)
        with suppress(OSError, EOFError):
            if server is not None:
                server.sendall(_message(b"Q", b"ROLLBACK\0"))
                _answered(server, None)
                self._give(server)

    def _take(self) -> socket.socket:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._idle))
            return self._idle.pop(self._pick(len(self._idle)))

    def _give(self, server: socket.socket) -> None:
        with self._changed:
            self._idle.append(server)
            self._changed.notify()


def _read(of: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = of.recv(length - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _next(of: socket.socket) -> tuple[bytes, bytes]:
    head = _read(of, 5)
    return head[:1], head + _read(of, struct.unpack("!I", head[1:])[0] - 4)


def _answered(server: socket.socket, client: socket.socket | None) -> bytes:
    """Pass on what the server answers until it is ready; whether it is in a transaction."""
    kind, whole = b"", b""
    while kind != b"Z":
        kind, whole = _next(server)
        if client is not None:
            client.sendall(whole)
    return whole[-1:]


@contextmanager
def pooled(
    database: ProvisionedDatabase, size: int, mode: Mode = "transaction", pick: Callable[[int], int] = lambda _: -1
) -> Generator[tuple[Pooler, str]]:
    pooler = Pooler(database.owner_dsn, size, mode, pick)
    try:
        yield pooler, make_conninfo(database.owner_dsn, port=pooler.port)
    finally:
        pooler.close()


@pytest.fixture
def history(tmp_path: Path) -> History:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "r1.py").write_text(
        'from alembic import op\nrevision = "r1"\ndown_revision = None\n\n'
        'def upgrade():\n    op.execute("CREATE TABLE t (id int)")\n\n'
        'def downgrade():\n    op.execute("DROP TABLE t")\n'
    )
    return History.load(tmp_path / "versions")


def left_behind(database: ProvisionedDatabase, backends: Sequence[int]) -> list[tuple[object, ...]]:
    """The locks that these sessions hold."""
    with psycopg.connect(database.superuser_dsn) as superuser:
        query = "SELECT pid, locktype FROM pg_locks WHERE pid = ANY(%s)"
        return superuser.execute(query, (list(backends),)).fetchall()


PICKS: dict[str, Callable[[int], int]] = {
    "the last that came back": lambda _: -1,
    "the one that waits longest": lambda _: 0,
    "any": random.randrange,
}


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_is_told_by_what_answers(
    database: ProvisionedDatabase, history: History, mode: Mode, size: int, pick: str
) -> None:
    with reader(database.owner_dsn) as connection:
        before = read_catalog(connection)
    acts: list[Callable[[str], object]] = [
        lambda dsn: upgrade(dsn, history, release_id="r"),
        lambda dsn: downgrade(dsn, history, "base"),
        seal,
        connect,
    ]
    with pooled(database, size, mode, PICKS[pick]) as (pooler, dsn):
        for act in acts:
            with pytest.raises(ThroughPooler, match="Take the direct address"):
                act(dsn)
        assert left_behind(database, pooler.backends) == []
    with reader(database.owner_dsn) as connection:
        assert read_catalog(connection) == before
    assert len(upgrade(database.owner_dsn, history, release_id="r")) == 1


def test_a_pooler_in_session_mode_is_as_good_as_none(database: ProvisionedDatabase, history: History) -> None:
    with pooled(database, 12, "session") as (pooler, dsn):
        assert [one.revision for one in upgrade(dsn, history, release_id="r")] == ["r1"]
        assert [one.revision for one in downgrade(dsn, history, "base")] == ["r1"]
    assert left_behind(database, pooler.backends) == []


@pytest.mark.parametrize("taken", [False, True], ids=["by ourselves", "by others"])
def test_a_pooler_that_has_no_session_left_is_told_before_it_gives_up_itself(
    database: ProvisionedDatabase, history: History, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    monkeypatch.setattr("migrations.database.direct_connections.ANSWER_TIMEOUT_S", 0.5)
    acts: list[Callable[[str], object]] = [
        lambda dsn: upgrade(dsn, history, release_id="r"),
        seal,
        lambda dsn: reader(dsn).__enter__(),
    ]
    with pooled(database, 1, "session") as (pooler, dsn), ExitStack() as others:
        if taken:
            others.enter_context(psycopg.connect(dsn, autocommit=True)).execute("SELECT 1")
        for act in acts if taken else acts[:2]:
            with pytest.raises(NoSessionLeft, match=r"no session left.*Take the direct address") as caught:
                act(dsn)
            assert caught.value.transient
        assert left_behind(database, pooler.backends) == []
    assert len(upgrade(database.owner_dsn, history, release_id="r")) == 1


def test_what_only_reads_goes_through_a_pooler_and_leaves_no_setting(
    database: ProvisionedDatabase, history: History
) -> None:
    upgrade(database.owner_dsn, history, release_id="r")
    point = seal(database.owner_dsn)
    with pooled(database, 2) as (_, dsn), psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as other:
        names = ("search_path", "statement_timeout", "TimeZone", "row_security", "default_transaction_read_only")
        asked = f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}".encode()
        before = other.execute(asked).fetchone()
        for _ in range(4):
            with reader(dsn) as connection:
                assert history_state(connection, history).current == ("r1",)
                assert other.execute(asked).fetchone() == before
        assert receipt(dsn, dsn, point).tables == ()
        assert other.execute(asked).fetchone() == before


def test_what_only_reads_is_told_of_a_pooler_that_knows_no_transactions(database: ProvisionedDatabase) -> None:
    with pooled(database, 2, "statement") as (_, dsn):
        with pytest.raises(ThroughPooler, match="Take the direct address"), reader(dsn):
            pass
        ran = CliRunner().invoke(app, ["status", "--database-url", dsn], catch_exceptions=False)
        assert (ran.exit_code, "let the pooler work in session mode" in " ".join(ran.output.split())) == (1, True)


def test_a_foreign_env_py_that_takes_a_pooler_itself_is_told(database: ProvisionedDatabase, history: History) -> None:
    folder = history.folders[0].parent
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    with pooled(database, 2) as (pooler, dsn):
        url = f"postgresql+psycopg://{database.owner}@127.0.0.1:{pooler.port}/{database.name}"
        (folder / "env.py").write_text(
            "from alembic import context\nfrom sqlalchemy import create_engine, pool\n"
            f"engine = create_engine({url!r}, poolclass=pool.NullPool)\n"
            "with engine.connect() as connection:\n    context.configure(connection=connection)\n"
            "    with context.begin_transaction():\n        context.run_migrations()\n"
        )
        foreign = History.of_project(ForeignEnvironment(folder / "alembic.ini", None, folder))
        with pytest.raises(ThroughPooler):
            upgrade(database.owner_dsn, foreign, release_id="r")
        with psycopg.connect(dsn, prepare_threshold=None) as other:
            assert other.execute("SHOW lock_timeout").fetchone() == ("0",)
        assert left_behind(database, pooler.backends) == []


@pytest.mark.parametrize(
    ("host", "is_pooler"),
    [
        ("ep-cool-name-123-pooler.eu-central-1.aws.neon.tech", True),
        ("ep-cool-name-123-pooler.c-2.eu-central-1.aws.neon.tech", True),
        ("EP-COOL-POOLER.EU.AWS.NEON.TECH", True),
        ("db.ep-cool-pooler.internal", True),
        ("ep-a.eu.aws.neon.tech,ep-a-pooler.eu.aws.neon.tech", True),
        ("ep-cool-name-123.eu-central-1.aws.neon.tech", False),
        ("pooler.example", False),
        ("ep-poolers.example", False),
        ("", False),
    ],
)
def test_a_name_that_says_so_is_enough(host: str, is_pooler: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_named_pooler(host) is is_pooler
    if is_pooler:
        with pytest.raises(ThroughPooler, match="its name says so"):
            connect(make_conninfo("dbname=d", host=host))
        monkeypatch.setenv("PGHOST", host)
        with pytest.raises(ThroughPooler, match="its name says so"):
            connect("dbname=d user=o")


@pytest.mark.parametrize("as_keywords", [True, False])
def test_a_pooler_is_not_called_ready(
    database: ProvisionedDatabase, monkeypatch: pytest.MonkeyPatch, as_keywords: bool
) -> None:
    with pooled(database, 1) as (pooler, dsn):
        url = f"postgresql://{database.owner}:x@127.0.0.1:{pooler.port}/{database.name}"
        monkeypatch.setenv("DATABASE_URL", dsn if as_keywords else url)
        ran = CliRunner().invoke(app, ["env", "check", "--json"])
    assert (
        "leads through a pooler"
        in {one["subject"]: one["detail"] for one in json.loads(ran.stdout)["findings"]}["DATABASE_URL"]
    )
    ready = {one["commands"].split(",")[0]: one["ready"] for one in json.loads(ran.stdout)["commands"]}
    assert ready["new"] is False


def test_the_command_says_what_to_do(database: ProvisionedDatabase) -> None:
    with pooled(database, 1) as (pooler, dsn):
        ran = CliRunner().invoke(app, ["apply", "--database-url", dsn], catch_exceptions=False)
        assert ran.exit_code == 1
        assert "Take the direct address" in " ".join(ran.output.split())
        assert left_behind(database, pooler.backends) == []
