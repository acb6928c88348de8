"""The session that runs revisions: what Alembic sends is looked at before it is sent, and while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from alembic.runtime.migration import MigrationInfo, RevisionStep
from sqlalchemy import Connection, event

from migrations.apply._autocommit import AutocommitStatements
from migrations.apply._held_release import HeldRelease
from migrations.apply._request import ApplyRequest, Attempt
from migrations.apply._resending import Pause
from migrations.apply._statement_events import Gate, StatementEvents
from migrations.apply.blocking_monitor import BlockingMonitor
from migrations.backfill.operation import BACKFILL_CONTEXT, BackfillContext
from migrations.database.requested_locks import NO_LOCKS
from migrations.database.time_limits import TimeLimits
from migrations.database.trace import Trace
from migrations.history import applied_revisions
from migrations.history.applied_revisions import Impact
from migrations.history.env_runners import ForeignRunner, OwnRunner, Runner, run_env, transaction_per_revision
from migrations.history.revision_transactions import FIRE_DEFERRED_TRIGGERS, RevisionTransactions


class MigratingSession:
    """The session that runs revisions, and all that is watched about it.

    Args:
        dsn: direct connection string of the owner.
        monitor: sees who blocks the session while it works, and whom it blocks.
        request: what is to be applied.
        gate: asked before each statement that locks relations, with what it asks for, the backend, and whether it
            works outside a transaction. It says whether the statement stops others; it raises to keep it back.
        autocommit: sends what works outside a transaction, and keeps the note of it.
        impact: what the revision that runs now has cost so far.
        trace: told of every statement, while it runs.
        session: in autocommit, not the one that migrates.
        pause: waits before a statement is sent again that got no lock, or raises.
    """

    def __init__(
        self,
        dsn: str,
        monitor: BlockingMonitor,
        request: ApplyRequest,
        gate: Gate,
        autocommit: AutocommitStatements,
        impact: Callable[[], Impact],
        trace: Trace | None,
        session: psycopg.Connection,
        pause: Pause,
    ) -> None:
        self.attempt = Attempt()
        self._autocommit = autocommit
        self.monitor = monitor
        self._dsn = dsn
        self._impact = impact
        self._request = request
        self._limits = TimeLimits(request.lock_timeout_ms, request.statement_timeout_ms)
        environment = request.history.environment
        self._script = request.history.directory
        self._transactions = RevisionTransactions(
            session, request.release_id, is_recorded=request.record, since_xid=request.since_xid
        )
        self._runner: Runner = (
            OwnRunner(dsn) if environment is None else ForeignRunner(dsn, environment, request.lock_timeout_ms)
        )
        self._events = StatementEvents(
            monitor=monitor,
            request=request,
            gate=gate,
            autocommit=autocommit,
            transactions=self._transactions,
            held=HeldRelease(request.fence, session, has_guard=request.record),
            runner=self._runner,
            attempt=self.attempt,
            limits=self._limits,
            pause=pause,
            trace=trace,
        )
        for name, listener in self._events.listeners.items():
            event.listen(self._runner.engines, name, listener, retval=name == "before_cursor_execute")

    @property
    def cut(self) -> BaseException | None:
        """Why the connection is gone, where it is."""
        return self._events.cut

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        for name, listener in self._events.listeners.items():
            event.remove(self._runner.engines, name, listener)
        self._runner.close()

    def run(self, on_done: Callable[[str, int], None]) -> None:
        """Run what is missing up to the target.

        Args:
            on_done: called with each revision and its milliseconds, after its commit.

        Raises:
            Exception: whatever the revision raised; its transaction was rolled back.
        """
        config = self._request.history.alembic_config()
        done: list[tuple[str, int]] = []
        self._events.forget_sessions()

        def later(revision: str, duration_ms: int) -> None:
            done.append((revision, duration_ms))

        def steps(at: Any, context: Any) -> Iterable[RevisionStep]:
            # Where env.py has begun a transaction, Alembic leaves it to env.py to commit, once, at the end.
            is_one = bool(context._in_external_transaction)  # noqa: SLF001
            return self._steps(at, context, is_one, later if is_one else on_done)

        config.attributes["on_version_apply"] = self._record
        config.attributes[BACKFILL_CONTEXT] = BackfillContext(
            dsn=self._dsn,
            lock_timeout_ms=self._request.lock_timeout_ms,
            budget_s=self._request.budget_s,
            listeners={**self._events.listeners, "before_cursor_execute": self._events.before_backfill},
            before_batch_commit=self._events.before_batch_commit,
            blockers=lambda: self.monitor.blockers,
        )
        try:
            with self._runner.environment_prepared(config), transaction_per_revision(config, self._script, steps):
                run_env(self._script)
        finally:
            self.monitor.transaction_ended()
        for one in done:
            on_done(*one)

    def _steps(
        self, at: Any, context: Any, is_one: bool, on_done: Callable[[str, int], None]
    ) -> Iterable[RevisionStep]:
        for step in self._path(at):
            if not is_one:
                # Alembic makes its own table in the transaction that the first revision begins in.
                _commit(context.bind)
            revision = str(step.revision.revision)
            self.attempt.begin(revision)
            self._limits.begin()
            self._autocommit.open(revision)
            yield step
            # Alembic asks for the next step after it has committed this one; where the revision has ended Alembic's
            # transaction itself, its mark waits in another, which nobody would commit.
            if not is_one:
                _commit(context.bind)
            self.monitor.transaction_ended()
            self._transactions.resolve_uncertain()
            on_done(revision, round((time.monotonic() - self.attempt.started) * 1000))
        self.attempt.revision = None

    def _path(self, at: Any) -> Sequence[RevisionStep]:
        # Source: Alembic's documentation of EnvironmentContext shows these two as the way to make a `fn`.
        if self._request.up:
            return self._script._upgrade_revs(self._request.target, at)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return self._script._downgrade_revs(self._request.target, at)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def _record(self, *, ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:
        """Write the record in the transaction of the revision."""
        del heads, run_args
        self.attempt.version_written = True
        connection: Connection = ctx.connection
        self._autocommit.before_version_written(connection.connection.dbapi_connection)
        if not self._request.record:
            return
        revision = str(step.up_revision_id)
        statement = self._recording(revision) if step.is_upgrade else applied_revisions.removing(revision)
        driver: Any = connection.connection.dbapi_connection
        if not driver.autocommit:
            # The last three in one round trip: the locks of the revision are held meanwhile.
            parts = (self._limits.lifting(), statement, FIRE_DEFERRED_TRIGGERS)
            statement = "; ".join(filter(None, parts))
            self.attempt.begin_statement(NO_LOCKS, 0)
        # Without parameters, the driver sends several statements at once, and takes a percent sign for one.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        self.attempt.has_fired_deferred = not driver.autocommit

    def _recording(self, revision: str) -> str:
        return applied_revisions.recording(
            revision=revision,
            checksum=self._request.history.revision(revision).checksum,
            release_id=self._request.release_id,
            duration_ms=round((time.monotonic() - self.attempt.started) * 1000),
            impact=self._impact(),
        )


def _commit(connection: Connection | None) -> None:
    if connection is not None and connection.in_transaction():
        connection.commit()
