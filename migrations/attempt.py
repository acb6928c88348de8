"""One try at a run of revisions: what is watched while Alembic applies them, one transaction each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import chdir, nullcontext
from dataclasses import dataclass, field
from typing import Any

import psycopg
from alembic.runtime.migration import MigrationInfo, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event

from migrations import applied
from migrations.environments import ForeignRunner, OwnRunner, Runner, one_transaction_each
from migrations.history import History
from migrations.locks import BlockerWatch
from migrations.trace import Trace


@dataclass(frozen=True)
class Applied:
    """A revision that was applied, or taken away.

    Attributes:
        revision: its id.
        message: what it does.
        duration_ms: how long its transaction took, without the tries before it.
        attempts: how often it was tried, the last time included.
        recorded: whether the database keeps a record of it.
    """

    revision: str
    message: str
    duration_ms: int
    attempts: int
    recorded: bool


@dataclass
class Attempt:
    """What is known of the revision that runs now.

    Attributes:
        revision: its id; None between revisions.
        started: the monotonic clock at its beginning.
        statements: what it has sent so far.
        committed: how many of those stand whatever comes, since it works outside a transaction.
        outside: whether it has worked outside a transaction.
    """

    revision: str | None = None
    started: float = 0.0
    statements: list[str] = field(default_factory=list[str])
    committed: int = 0
    outside: bool = False

    def begin(self, revision: str) -> None:
        """Forget the revision before."""
        self.revision, self.started, self.committed, self.outside = revision, time.monotonic(), 0, False
        self.statements.clear()

    @property
    def stands(self) -> tuple[str, ...]:
        """The statements whose effect stays after a failure."""
        return tuple(" ".join(statement.split())[:200] for statement in self.statements[: self.committed][:10])


@dataclass(frozen=True)
class Order:
    """What is to be done: up or down, to where, in whose name."""

    history: History
    target: str
    up: bool
    release_id: str
    record: bool
    lock_timeout_ms: int


class MigratingSession:
    """The session that runs revisions, and all that is watched about it.

    The lock_timeout is set from outside the revision, and is none outside transactions.

    Source: a lock_timeout would make CREATE INDEX CONCURRENTLY give up half-way and leave an invalid index.
    """

    def __init__(self, dsn: str, watch_session: psycopg.Connection, order: Order, trace: Trace | None = None) -> None:
        self.attempt = Attempt()
        self.watch = BlockerWatch(watch_session, order.lock_timeout_ms)
        self._order = order
        self._trace = trace
        self._timeout_ms: int | None = None
        self._backends: dict[int, int] = {}
        config = order.history.alembic_config()
        environment = order.history.environment
        with chdir(environment.folder) if environment else nullcontext():
            self._script = ScriptDirectory.from_config(config)
        self._runner: Runner = (
            OwnRunner(dsn) if environment is None else ForeignRunner(dsn, environment, order.lock_timeout_ms)
        )
        self._listeners = {
            "before_cursor_execute": self._before,
            "after_cursor_execute": self._after,
            "handle_error": self._failed,
            "commit": self._committed,
            "rollback": self._rolled_back,
        }
        for name, listener in self._listeners.items():
            event.listen(self._runner.engines, name, listener)

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        for name, listener in self._listeners.items():
            event.remove(self._runner.engines, name, listener)
        self._runner.close()
        self.watch.close()

    def run(self, on_done: Callable[[str, int], None]) -> None:
        """Run what is missing up to the target.

        Args:
            on_done: called with each revision and its milliseconds, after its commit.

        Raises:
            Exception: whatever the revision raised; its transaction was rolled back.
        """
        config = self._order.history.alembic_config()
        done: list[tuple[str, int]] = []
        # env.py may make another session at each try, and Python gives ids anew.
        self._backends.clear()

        def later(revision: str, duration_ms: int) -> None:
            done.append((revision, duration_ms))

        def steps(at: Any, context: Any) -> Iterable[RevisionStep]:
            # Where env.py has begun a transaction, Alembic leaves it to env.py to commit, once, at the end.
            is_one = bool(context._in_external_transaction)  # noqa: SLF001
            return self._steps(at, later if is_one else on_done)

        config.attributes["on_version_apply"] = self._record
        with self._runner.entered(config), one_transaction_each(config, self._script, steps):
            self._script.run_env()
        for one in done:
            on_done(*one)

    def _steps(self, at: Any, on_done: Callable[[str, int], None]) -> Iterable[RevisionStep]:
        for step in self._path(at):
            revision = str(step.revision.revision)
            self.attempt.begin(revision)
            # What a rollback took back is not set any more.
            self._timeout_ms = None
            yield step
            # Alembic asks for the next step after it has committed this one.
            on_done(revision, round((time.monotonic() - self.attempt.started) * 1000))
        self.attempt.revision = None

    def _path(self, at: Any) -> Sequence[RevisionStep]:
        # Source: Alembic's documentation of EnvironmentContext shows these two as the way to make a `fn`.
        if self._order.up:
            return self._script._upgrade_revs(self._order.target, at)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return self._script._downgrade_revs(self._order.target, at)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def _record(self, *, ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:
        """Write the record in the transaction of the revision."""
        del heads, run_args
        if not self._order.record:
            return
        connection: Connection = ctx.connection
        revision = str(step.up_revision_id)
        if not step.is_upgrade:
            applied.forget(connection, revision)
            return
        applied.write(
            connection,
            revision=revision,
            checksum=self._order.history.revision(revision).checksum,
            release_id=self._order.release_id,
            duration_ms=round((time.monotonic() - self.attempt.started) * 1000),
        )

    def _before(self, conn: Connection, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        del cursor, rest
        if self.attempt.revision is None or not self._runner.is_mine(conn):
            return
        session: Any = conn.connection.dbapi_connection
        outside = bool(session.autocommit)
        if outside:
            # What came before was committed on the way out of the transaction.
            self.attempt.committed = len(self.attempt.statements)
            self.attempt.outside = True
        wanted = 0 if outside else self._order.lock_timeout_ms
        if wanted != self._timeout_ms:
            _asked(session, f"SET lock_timeout = {int(wanted)}")
            self._timeout_ms = wanted
        self.attempt.statements.append(statement)
        pid = self._backend(session)
        self.watch.statement_begins(pid)
        if self._trace is not None:
            self._trace.statement_begins(pid, self.attempt.revision, statement, parameters, outside=outside)

    def _backend(self, session: Any) -> int:
        if id(session) not in self._backends:
            self._backends[id(session)] = int(_asked(session, "SELECT pg_backend_pid()") or 0)
        return self._backends[id(session)]

    def _after(self, conn: Connection, cursor: Any, *rest: Any) -> None:
        del rest
        if self.attempt.revision is None or not self._runner.is_mine(conn):
            return
        self.watch.statement_ended()
        if self._trace is not None:
            self._trace.statement_ended(cursor.rowcount if cursor.rowcount >= 0 else None)
        if self.attempt.outside:
            self.attempt.committed = len(self.attempt.statements)

    def _failed(self, *rest: Any) -> None:
        del rest
        self.watch.statement_ended()
        if self._trace is not None:
            self._trace.statement_failed()

    def _committed(self, conn: Connection) -> None:
        if self._trace is not None and self._runner.is_mine(conn):
            self._trace.transaction_ended(committed=True)

    def _rolled_back(self, conn: Connection) -> None:
        if self._trace is not None and self._runner.is_mine(conn):
            self._trace.transaction_ended(committed=False)


def _asked(session: Any, statement: str) -> Any:
    """Send a statement past SQLAlchemy, whatever the driver is; the first column of its first row."""
    cursor = session.cursor()
    try:
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()
    return row[0] if row else None
