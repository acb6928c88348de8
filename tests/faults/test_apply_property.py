"""Whatever a revision sends, and wherever it is cut off: applied again, each statement is done once, or it says so.

The connection is cut at any message of its own, by a proxy: before the server has the message, or after it. Where all
connections are cut at once, and none is let through any more, it is as if the process had been killed.
"""

import shutil
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.errors import HalfApplied
from migrations.apply.migrate import upgrade
from migrations.database.locks import MIGRATING
from migrations.errors import MigrationError
from migrations.history.env_runners import ForeignEnvironment
from migrations.history.revisions import History

SETUP = """
DROP SCHEMA IF EXISTS pilotage CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION "{owner}";
SET ROLE "{owner}";
CREATE TABLE done (id int); CREATE TYPE mood AS ENUM ('none');
CREATE TABLE many (id int, n int); INSERT INTO many SELECT g, g FROM generate_series(1, 100) g;
CREATE FUNCTION do_it(int) RETURNS int LANGUAGE sql AS 'INSERT INTO done VALUES ($1) RETURNING id';
CREATE PROCEDURE do_it_twice(int) LANGUAGE plpgsql AS 'BEGIN INSERT INTO done VALUES ($1);
    INSERT INTO done VALUES ($1 + 1); END';
RESET ROLE;
"""
RAW = "op.get_bind().connection.dbapi_connection"
# What a step does, by its kind; `n` is a number of its own.
INSIDE = {
    "parameter": "op.get_bind().execute(sa.text('INSERT INTO done VALUES (:i)'), {{'i': {n}}})",
    "loop": "for k in range(3): op.get_bind().execute(sa.text('INSERT INTO done VALUES (:i)'), {{'i': {n} + k}})",
    "cte": "op.execute('WITH it AS (INSERT INTO done VALUES ({n}) RETURNING id) SELECT * FROM it')",
    "function": "op.execute('SELECT do_it({n})')",
    "explained": "op.execute('EXPLAIN ANALYZE INSERT INTO done VALUES ({n})')",
    "block": "op.execute('DO $$ BEGIN INSERT INTO done VALUES ({n}); END $$')",
    "procedure": "op.execute('CALL do_it_twice({n})')",
    "two in one": "op.execute('INSERT INTO done VALUES ({n}); INSERT INTO done VALUES ({n} + 1)')",
    "enum": "op.execute(\"ALTER TYPE mood ADD VALUE 'm{n}'\")",
    "read": "op.execute('SELECT count(*) FROM many')",
    "savepoint": "with op.get_bind().begin_nested(): op.execute('INSERT INTO done VALUES ({n})')",
    "raw": f"{RAW}.execute('INSERT INTO done VALUES (%s)', ({{n}},))",
    "raw many": f"{RAW}.cursor().executemany('INSERT INTO done VALUES (%s)', [({{n}},), ({{n}} + 1,)])",
    "raw stream": f"list({RAW}.cursor().stream('INSERT INTO done VALUES (%s) RETURNING id', ({{n}},)))",
    "raw copy": f"with {RAW}.cursor().copy('COPY done FROM STDIN') as copy: copy.write_row(({{n}},))",
    "raw transaction": f"with {RAW}.transaction(): {RAW}.execute('INSERT INTO done VALUES ({{n}})')",
}
# Ways of committing in the middle.
COMMITS = {
    "commit": "op.get_bind().commit()",
    "raw commit": f"{RAW}.commit()",
    "commit by text": "op.execute('COMMIT')",
    "second connection": (
        "with op.get_bind().engine.begin() as other: other.exec_driver_sql('INSERT INTO done VALUES ({n})')"
    ),
}
# A savepoint needs a transaction.
OUTSIDE = {
    **{kind: text for kind, text in INSIDE.items() if kind != "savepoint"},
    "committing block": (
        "op.execute('DO $$ BEGIN INSERT INTO done VALUES ({n}); COMMIT; INSERT INTO done VALUES ({n} + 1); END $$')"
    ),
    "index": "op.execute('CREATE INDEX CONCURRENTLY i{n} ON many (n, id) WHERE n > {n}')",
    "unnamed index": "op.execute('CREATE INDEX CONCURRENTLY ON many (id, n) WHERE n > {n}')",
    "vacuum": "op.execute('VACUUM many')",
}
ROWS = {"loop": 3, "procedure": 2, "two in one": 2, "committing block": 2, "raw many": 2}
ROWLESS = frozenset({"enum", "read", "commit", "raw commit", "commit by text", "index", "unnamed index", "vacuum"})
ENVIRONMENT = """
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


@dataclass(frozen=True)
class Step:
    """A part of a revision."""

    kind: str
    is_outside: bool


STEPS = st.one_of(
    st.sampled_from(sorted(INSIDE)).map(lambda kind: Step(kind, is_outside=False)),
    st.sampled_from(sorted(COMMITS)).map(lambda kind: Step(kind, is_outside=False)),
    st.sampled_from(sorted(OUTSIDE)).map(lambda kind: Step(kind, is_outside=True)),
)


def body(steps: list[Step]) -> str:
    lines: list[str] = []
    for number, step in enumerate(steps):
        if step.is_outside and not (number and steps[number - 1].is_outside):
            if any(one.kind == "commit" for one in steps[:number]):
                # Alembic finds its own transaction ended otherwise, or one open that SQLAlchemy does not know.
                lines.append(f"    op.get_bind().commit(); {RAW}.commit()")
            lines.append("    with op.get_context().autocommit_block():")
        text = {**INSIDE, **OUTSIDE, **COMMITS}[step.kind].format(n=(number + 1) * 10)
        lines.append(f"    {'    ' * step.is_outside}{text}")
    return "\n".join(lines)


def expected(steps: list[Step]) -> tuple[list[int], int, list[str]]:
    """The rows, the number of indexes and the labels that stand in the end."""
    numbered = [((number + 1) * 10, step) for number, step in enumerate(steps)]
    rows = [n + k for n, step in numbered if step.kind not in ROWLESS for k in range(ROWS.get(step.kind, 1))]
    indexes = sum(step.kind in {"index", "unnamed index"} for step in steps)
    return rows, indexes, [f"m{n}" for n, step in numbered if step.kind == "enum"]


class CuttingProxy:
    """Lets all messages through to a server, but for one of the sessions that migrate."""

    def __init__(self, port: int, *, at: int, owns_driver_connection: bool, all_at_once: bool) -> None:
        self._port, self._at, self._reaches, self._all_at_once = port, at, owns_driver_connection, all_at_once
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._seen = 0
        self._is_dead = False
        self.has_cut = False
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_dead:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [client, server]
            answered, is_last = threading.Event(), threading.Event()
            for target, pair in (
                (self._upwards, (client, server, answered, is_last)),
                (self._downwards, (server, client, answered, is_last)),
            ):
                self._threads.append(threading.Thread(target=target, args=pair))
                self._threads[-1].start()

    def _upwards(
        self, client: socket.socket, server: socket.socket, answered: threading.Event, is_last: threading.Event
    ) -> None:
        migrates = False
        with suppress(OSError):
            while part := client.recv(1 << 16):
                self._seen += migrates
                if migrates and self._seen == self._at:
                    if self._reaches:
                        is_last.set()
                        server.sendall(part)
                        answered.wait(30)
                    self._cut(client, server)
                    return
                if part[4:6] == b"\x00\x03":
                    # Source: a session begins with the version of the protocol, 3, and its settings by name.
                    migrates = MIGRATING.encode() in part or b"application_name" not in part
                server.sendall(part)
        _end(server)

    def _downwards(
        self, server: socket.socket, client: socket.socket, answered: threading.Event, is_last: threading.Event
    ) -> None:
        with suppress(OSError):
            while part := server.recv(1 << 16):
                if is_last.is_set():
                    answered.set()
                else:
                    client.sendall(part)
        answered.set()
        _end(client)

    def _cut(self, *pair: socket.socket) -> None:
        self.has_cut = True
        self._is_dead = self._all_at_once
        for one in self._open if self._all_at_once else pair:
            _end(one)

    def close(self) -> None:
        self._is_dead = True
        _end(self._listener)
        self._listener.close()
        self._threads[0].join()
        for one in self._open:
            _end(one)
        for thread in self._threads[1:]:
            thread.join()
        for one in self._open:
            one.close()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def through(proxy: CuttingProxy, dsn: str) -> Generator[str]:
    try:
        yield make_conninfo(dsn, port=proxy.port, host="127.0.0.1", sslmode="disable", gssencmode="disable")
    finally:
        proxy.close()


@dataclass(frozen=True)
class Found:
    """What stands."""

    rows: list[int]
    indexes: list[bool]
    labels: list[str]

    @classmethod
    def of(cls, watcher: psycopg.Connection) -> "Found":
        rows = watcher.execute("SELECT id FROM done ORDER BY id").fetchall()
        indexes = watcher.execute("SELECT indisvalid FROM pg_index WHERE indrelid = 'many'::regclass").fetchall()
        labels = watcher.execute("SELECT enumlabel FROM pg_enum WHERE enumlabel <> 'none' ORDER BY 1").fetchall()
        return cls(*([row[0] for row in found] for found in (rows, indexes, labels)))


@pytest.fixture
def watcher(database: ProvisionedDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
        yield connection


def written(folder: Path, steps: list[Step], *, is_foreign: bool) -> History:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "r1.py").write_text(
        f'"""Step."""\nimport sqlalchemy as sa\nfrom alembic import op\nrevision = "r1"\ndown_revision = None\n\n'
        f"def upgrade():\n{body(steps)}\n"
    )
    if not is_foreign:
        return History.load(folder / "versions")
    (folder / "env.py").write_text(ENVIRONMENT)
    return History.of_project(ForeignEnvironment(None, folder, folder))


@given(
    steps=st.lists(STEPS, min_size=1, max_size=6),
    at=st.sampled_from(range(14, 70)),
    owns_driver_connection=st.booleans(),
    all_at_once=st.booleans(),
    is_foreign=st.booleans(),
)
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_each_statement_is_done_once_or_it_is_said_that_this_is_not_certain(
    database: ProvisionedDatabase,
    watcher: psycopg.Connection,
    tmp_path: Path,
    steps: list[Step],
    at: int,
    *,
    owns_driver_connection: bool,
    all_at_once: bool,
    is_foreign: bool,
) -> None:
    watcher.execute(f"DROP TABLE IF EXISTS alembic_version; {SETUP.format(owner=database.owner)}".encode())
    history = written(tmp_path / "project", steps, is_foreign=is_foreign)
    rows, indexes, labels = expected(steps)
    port = int(str(conninfo_to_dict(database.owner_dsn)["port"]))
    proxy = CuttingProxy(port, at=at, owns_driver_connection=owns_driver_connection, all_at_once=all_at_once)
    with through(proxy, database.owner_dsn) as dsn, suppress(MigrationError):
        upgrade(dsn, history, release_id="first")
        event("not cut")
    half: HalfApplied | None = None
    try:
        upgrade(database.owner_dsn, history, release_id="second", advisory_wait_s=30)
    except HalfApplied as error:
        half = error
    found = Found.of(watcher)
    if half is None:
        assert found == Found(rows, [True] * indexes, sorted(labels))
        assert watcher.execute("SELECT version_num FROM alembic_version").fetchall() == [("r1",)]
        left = watcher.execute("SELECT to_regclass('pilotage.unfinished_revisions') IS NULL").fetchone()
        assert left == (is_foreign,)
        return
    event("half applied")
    assert proxy.has_cut
    # A transaction of the driver's that begins a revision is committed by itself.
    assert any(step.is_outside or step.kind in {*COMMITS, "raw transaction"} for step in steps)
    assert half.committed or half.under_way
    assert sorted(set(found.rows)) == found.rows
    assert set(found.rows) <= set(rows)
    assert len(found.indexes) <= indexes
