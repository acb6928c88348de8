"""One try at a run of revisions: what is watched while Alembic applies them, one transaction each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationInfo, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, pool

from migrations import applied
from migrations.history import History
from migrations.locks import MIGRATING, BlockerWatch
from migrations.session import connect
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
        self._order = order
        self._trace = trace
        self._raw = connect(
            dsn,
            application_name=MIGRATING,
            statement_timeout=0,
            # A server whose client was killed ends the statement within a second, instead of finishing it.
            client_connection_check_interval=1000,
        )
        self._watch = BlockerWatch(watch_session, self._raw.info.backend_pid, order.lock_timeout_ms)
        self._timeout_ms: int | None = None
        self._engine = self._watched(
            create_engine("postgresql+psycopg://", creator=self._given, poolclass=pool.StaticPool)
        )
        self._script = ScriptDirectory.from_config(order.history.alembic_config())

    def _given(self) -> psycopg.Connection:
        return self._raw

    @property
    def watch(self) -> BlockerWatch:
        """What stood in the way."""
        return self._watch

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        self._raw.close()
        self._engine.dispose()

    def run(self, on_done: Callable[[str, int], None]) -> None:
        """Run what is missing up to the target.

        Args:
            on_done: called with each revision and its milliseconds, after its commit.

        Raises:
            Exception: whatever the revision raised; its transaction was rolled back.
        """
        config = self._order.history.alembic_config()

        def steps(at: Any, context: Any) -> Iterable[RevisionStep]:
            del context
            return self._steps(at, on_done)

        with self._engine.connect() as connection, EnvironmentContext(config, self._script, fn=steps):
            config.attributes.update(connection=connection, on_version_apply=self._record)
            self._script.run_env()

    def _steps(self, at: Any, on_done: Callable[[str, int], None]) -> Iterable[RevisionStep]:
        for step in self._path(at):
            revision = str(step.revision.revision)
            self.attempt.begin(revision)
            self._set_timeout(self._order.lock_timeout_ms)
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

    def _watched(self, engine: Engine) -> Engine:
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "handle_error", self._watch_ended)
        event.listen(engine, "commit", self._committed)
        event.listen(engine, "rollback", self._rolled_back)
        return engine

    def _before(self, conn: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        del conn, cursor, rest
        if self.attempt.revision is None:
            return
        if self._raw.autocommit:
            # What came before was committed on the way out of the transaction.
            self.attempt.committed = len(self.attempt.statements)
            self.attempt.outside = True
        wanted = 0 if self._raw.autocommit else self._order.lock_timeout_ms
        if wanted != self._timeout_ms:
            self._set_timeout(wanted)
        self.attempt.statements.append(statement)
        self._watch.statement_begins()
        if self._trace is not None:
            self._trace.statement_begins(self._raw, self.attempt.revision, statement, parameters)

    def _after(self, conn: Any, cursor: Any, *rest: Any) -> None:
        del conn, rest
        self._watch.statement_ended()
        if self._trace is not None:
            self._trace.statement_ended(cursor.rowcount if cursor.rowcount >= 0 else None)
        if self._raw.autocommit and self.attempt.revision is not None:
            self.attempt.committed = len(self.attempt.statements)

    def _watch_ended(self, *rest: Any) -> None:
        del rest
        self._watch.statement_ended()
        if self._trace is not None:
            self._trace.statement_failed()

    def _committed(self, *rest: Any) -> None:
        del rest
        if self._trace is not None:
            self._trace.transaction_ended(committed=True)

    def _rolled_back(self, *rest: Any) -> None:
        del rest
        if self._trace is not None:
            self._trace.transaction_ended(committed=False)

    def _set_timeout(self, milliseconds: int) -> None:
        self._raw.execute(f"SET lock_timeout = {int(milliseconds)}".encode())
        self._timeout_ms = milliseconds
