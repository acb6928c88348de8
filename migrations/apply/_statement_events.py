"""What is done as the statements of a revision go to the server: through SQLAlchemy, or past it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Connection

from migrations.apply._autocommit import NO_EFFECT, AutocommitStatements
from migrations.apply._held_locks import ExclusiveTables, GrantedLocks
from migrations.apply._held_release import HeldRelease
from migrations.apply._request import ApplyRequest, Attempt
from migrations.apply._resending import Pause, send_until_locked
from migrations.apply.blocking_monitor import BlockingMonitor
from migrations.apply.repeatability import repeatability_of
from migrations.database.bookkeeping import is_bookkeeping
from migrations.database.locks import MIGRATING
from migrations.database.raw_statements import (
    MadePastConnection,
    RawConnectionHooks,
    has_hooks,
    install_hooks,
    refuse_pipeline,
)
from migrations.database.requested_locks import RequestedLocks, locks_requested_by
from migrations.database.time_limits import TimeLimits, execute_raw
from migrations.database.trace import Trace
from migrations.errors import is_cut
from migrations.history.env_runners import Runner
from migrations.history.overwritten_values import BatchRows
from migrations.history.revision_transactions import RevisionTransactions, is_commit, is_rollback

Gate = Callable[[RequestedLocks, int, bool], bool]
_NOTHING = nullcontext()


class StatementEvents:
    """What is done as statements go to the server: looked at before, watched meanwhile, noted after.

    Args:
        monitor: sees who blocks the session while it works, and whom it blocks.
        request: what is to be applied.
        gate: asked before each statement that locks relations, with what it asks for, the backend, and whether it
            works outside a transaction. It says whether the statement stops others; it raises to keep it back.
        autocommit: sends what works outside a transaction, and keeps the note of it.
        transactions: notes which transactions are the revision's own.
        held: the release in whose name revisions run.
        runner: knows which connections run revisions.
        attempt: the revision that runs now.
        limits: the limits of time of the session.
        pause: waits before a statement is sent again that got no lock, or raises.
        trace: told of every statement, while it runs.

    Attributes:
        cut: why the connection is gone, where it is.
        listeners: what SQLAlchemy is to call at each of its events.
    """

    def __init__(
        self,
        *,
        monitor: BlockingMonitor,
        request: ApplyRequest,
        gate: Gate,
        autocommit: AutocommitStatements,
        transactions: RevisionTransactions,
        held: HeldRelease,
        runner: Runner,
        attempt: Attempt,
        limits: TimeLimits,
        pause: Pause,
        trace: Trace | None,
    ) -> None:
        self.attempt, self.monitor = attempt, monitor
        self.cut: BaseException | None = None
        self._request, self._gate, self._autocommit = request, gate, autocommit
        self._transactions, self._runner, self._limits = transactions, runner, limits
        self._held, self._pause, self._trace = held, pause, trace
        self._is_sent = True
        # Whether the statement that is being sent was prepared when SQLAlchemy announced it.
        self._is_prepared = False
        # Of each session, what its transaction has sent so far.
        self._open: dict[int, list[str]] = {}
        self._exclusive_tables = ExclusiveTables()
        self._created_tables: set[str] = set()
        self._granted = GrantedLocks()
        self._backends: dict[int, tuple[Any, int]] = {}
        self._driver: Any = None
        self.listeners: dict[str, Callable[..., object]] = {
            "before_cursor_execute": self._before,
            "after_cursor_execute": self._after,
            "handle_error": self._failed,
            "commit": self._committed,
            "rollback": self._rolled_back,
            "rollback_savepoint": self._rolled_back_to,
            "connect": self._connection_opened,
            "do_execute": self._send,
        }

    def forget_sessions(self) -> None:
        """Forget what was noted of connections: env.py may make another at each try, and Python gives ids anew."""
        self._backends.clear()
        self._limits.forget()
        self._open.clear()
        self._exclusive_tables.clear()

    def _before(
        self, conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any = None, many: bool = False
    ) -> tuple[str, Any]:
        """Prepare a statement that SQLAlchemy is about to send; returns what is to be sent in its place."""
        del cursor, context
        if self.attempt.revision is None or not self._runner.owns_connection(conn):
            return statement, parameters
        self._is_sent = True
        instead = self._prepare(conn, _as_sent(conn, statement), statement, parameters)
        self._is_prepared = True
        if instead is None:
            return statement, parameters
        self._is_sent = instead != NO_EFFECT
        return instead, [] if many else ()

    def _connection_opened(self, session: Any, record: Any) -> None:
        """A connection is opened: hooks are installed for what is done on it past SQLAlchemy."""
        del record
        if self._runner.owns_driver_connection(session):
            hooks = RawConnectionHooks(
                around_statement=self._around_raw_statement,
                before_commit=self._before_commit,
                on_commit_failure=self._autocommit.notes.forget_commit,
                after_rollback=self._after_rollback,
                after_rollback_to=self._forget_made,
                before_unhooked=self._before_unhooked_statement,
            )
            install_hooks(session, hooks)

    def _send(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Send a statement until it gets its locks, where its revision cannot be begun anew; whether it was sent."""
        conn: Connection = context.root_connection
        if self.attempt.revision is None or self.attempt.version_written or not self._runner.owns_connection(conn):
            return False
        if not self._autocommit.notes.is_half_applied or repeatability_of(statement).may_commit:
            return False
        session: Any = conn.connection.dbapi_connection
        before = self._open.get(id(session), [])[:-1]
        # Nobody is to wait for what the transaction has locked before, as long as it waits itself.
        if not session.autocommit and any(locks_requested_by(one).stops_others for one in before):
            return False
        send = partial(context.dialect.do_execute, cursor, statement, parameters, context)
        pid = self._backend(session)
        send_until_locked(session, send, self._autocommit, lambda error: self._pause(error, pid))
        return True

    def _around_raw_statement(
        self, session: psycopg.Connection, text: Callable[[], str]
    ) -> AbstractContextManager[None]:
        """What is to be done around a statement on the driver's connection: nothing, where SQLAlchemy sends it."""
        revision = self.attempt.revision
        if revision is None or self.attempt.version_written or self._is_prepared:
            return _NOTHING
        return self._noting_raw_statement(session, text(), revision)

    @contextmanager
    def _noting_raw_statement(self, session: psycopg.Connection, statement: str, revision: str) -> Generator[None]:
        """Note what a revision sends past SQLAlchemy."""
        self._held.refuse_lost()
        refuse_pipeline(session)
        if self.monitor.lost is not None:
            raise self.monitor.lost
        self._autocommit.notes.has_committed()
        in_autocommit = bool(session.autocommit)
        self._note_own_transactions(session, statement, in_autocommit=in_autocommit, is_backfill=False)
        self._note_statement(session, statement, in_autocommit=in_autocommit, keeps_own_progress=False)
        try:
            yield
        except BaseException:
            self._autocommit.failed(session)
            raise
        if in_autocommit:
            self._transactions.autocommit_statement_ended(session, self._backend(session), revision)
            self._autocommit.after(session)

    def _before_unhooked_statement(self, session: psycopg.Connection, statement: str) -> None:
        """Refuse a cursor or a transaction of which nothing would be noted, where it commits."""
        if self.attempt.revision is None or self.attempt.version_written or self._is_prepared:
            return
        if session.autocommit or repeatability_of(statement).commits:
            raise MadePastConnection

    def before_backfill(self, conn: Connection, cursor: Any, statement: str, parameters: Any) -> None:
        """Prepare a statement of a backfill, which keeps its own progress."""
        del cursor
        if self.attempt.revision is not None and self._runner.owns_connection(conn):
            self._is_sent = True
            self._prepare(conn, statement, statement, parameters, keeps_own_progress=True)

    def _prepare(
        self, conn: Connection, sent: str, statement: str, parameters: Any, *, keeps_own_progress: bool = False
    ) -> str | None:
        """Prepare a statement; what is to be sent in its place, or None."""
        self._held.refuse_lost()
        refuse_pipeline(conn.connection.dbapi_connection)
        if self.monitor.lost is not None:
            # Without the migration lock another migration may begin.
            raise self.monitor.lost
        session: Any = conn.connection.dbapi_connection
        in_autocommit = bool(session.autocommit)
        self._autocommit.notes.has_committed()
        self._note_own_transactions(session, sent, in_autocommit=in_autocommit, is_backfill=keeps_own_progress)
        if self._request.history.environment is not None and is_bookkeeping(sent):
            # A foreign env.py has no callback for it.
            self.attempt.version_written = True
            self._autocommit.before_version_written(session)
        if self.attempt.version_written:
            return None
        requested = locks_requested_by(sent)
        pid = self._backend(session)
        version_table = self._request.history.version_table
        others = requested.of_others({*self._created_tables, version_table})
        stops = others.stops_others
        if requested.exempt_from_timeouts:
            stops = False
        elif others.locks and (in_autocommit or not self._granted.cover(session, others)):
            stops = self._gate(others, pid, in_autocommit)
        if is_rollback(sent):
            # Where the transaction has failed, the server takes nothing else from us.
            self._forget_made()
        else:
            is_mark = {lock.relation for lock in requested.locks} == {version_table}
            self._limits.set(session, requested, in_autocommit=in_autocommit, stops_others=stops, is_mark=is_mark)
        instead = self._note_statement(
            session, sent, in_autocommit=in_autocommit, keeps_own_progress=keeps_own_progress
        )
        self.attempt.begin_statement(requested, self._limits.statement_ms)
        if instead != NO_EFFECT:
            self.monitor.statement_begins(pid, builds=requested.exempt_from_timeouts)
            if self._trace is not None:
                revision = self.attempt.revision or ""
                self._trace.statement_begins(pid, revision, statement, parameters, in_autocommit=in_autocommit)
        return None if instead == sent else instead

    def _note_statement(self, session: Any, sent: str, *, in_autocommit: bool, keeps_own_progress: bool) -> str:
        """Note a statement before it is sent; returns what is to be sent."""
        if in_autocommit:
            return self._autocommit.before(session, sent, keeps_own_progress=keeps_own_progress)
        repeatability = repeatability_of(sent)
        if repeatability.commits:
            self._exclusive_tables.forget(session)
            # It ends its transaction by hand, and perhaps goes on in another.
            self._autocommit.notes.committing(session, self._open.pop(id(session), ()), sent if ";" in sent else None)
        else:
            self._open.setdefault(id(session), []).append(sent)
        return sent

    def _note_own_transactions(self, session: Any, statement: str, *, in_autocommit: bool, is_backfill: bool) -> None:
        """Note the transactions that a statement begins or ends, so that their rows count as the revision's."""
        self._driver = session
        if in_autocommit and not is_backfill:
            self._transactions.autocommit_statement_begins(statement)
        elif not in_autocommit and is_commit(statement):
            self._transactions.record_before_commit(session, self._backend(session), self.attempt.revision or "")
        elif not in_autocommit and not self.attempt.version_written:
            tables = self._exclusive_tables.to_look_at(session, statement, self._created_tables)
            if tables:
                self._transactions.look_before_row_writes(
                    session, self._backend(session), self.attempt.revision or "", tables
                )

    def before_batch_commit(self, batch: BatchRows) -> None:
        """A batch of a backfill is about to be committed; its transaction is kept with the batch."""
        self._held.refuse_lost_before_commit(self._driver)
        if self._trace is not None:
            self._trace.look()
        self._transactions.record_before_commit(
            self._driver,
            self._backend(self._driver),
            self.attempt.revision or "",
            is_recorded_elsewhere=True,
            batch=batch,
        )

    def _backend(self, session: Any) -> int:
        if id(session) not in self._backends:
            # The session is kept as well: while it is, no other one gets its number.
            self._backends[id(session)] = session, int(execute_raw(session, "SELECT pg_backend_pid()") or 0)
            if self._request.history.environment is not None:
                # Not every driver reads libpq's environment; a session that its process left behind must be known.
                for setting in (f"application_name = '{MIGRATING}'", "client_connection_check_interval = 1000"):
                    execute_raw(session, f"SET {setting}")
        return self._backends[id(session)][1]

    def _after(self, conn: Connection, cursor: Any, *rest: Any) -> None:
        del rest
        self._is_prepared = False
        if self.attempt.revision is None or not self._runner.owns_connection(conn):
            return
        self.monitor.statement_ended()
        if self._trace is not None and self._is_sent:
            self._trace.statement_ended(cursor.rowcount if cursor.rowcount >= 0 else None)
        session: Any = conn.connection.dbapi_connection
        if not session.autocommit:
            self._created_tables |= self.attempt.requested.creates
            self._granted.note(session, self.attempt.requested)
        elif self.attempt.version_written:
            self._autocommit.version_written(session)
        else:
            self._transactions.autocommit_statement_ended(session, self._backend(session), self.attempt.revision)
            self._autocommit.after(session)

    def _failed(self, context: Any) -> None:
        self._is_prepared = False
        self.monitor.statement_ended()
        driver = getattr(context, "original_exception", None)
        if driver is not None and (is_cut(driver) or context.is_disconnect):
            # What Alembic tries on the dead connection raises something else.
            self.cut = driver
        connection: Connection | None = getattr(context, "connection", None)
        if connection is not None and not connection.invalidated and self._runner.owns_connection(connection):
            self._autocommit.failed(connection.connection.dbapi_connection)
        if self._trace is not None:
            self._trace.statement_failed()

    def _committed(self, conn: Connection) -> None:
        session: Any = conn.connection.dbapi_connection
        # A connection that is watched tells of it itself, also of what goes past SQLAlchemy.
        if self._runner.owns_connection(conn) and not has_hooks(session):
            self._before_commit(session)

    def _before_commit(self, session: Any) -> None:
        self._created_tables.clear()
        self._granted.clear()
        if self.attempt.revision is not None and not session.autocommit:
            self._note_commit(session)
        if self._trace is not None:
            self._trace.transaction_ended(committed=True)

    def _note_commit(self, session: Any) -> None:
        refuse_pipeline(session)
        self._held.refuse_lost_before_commit(session)
        if self.monitor.lost is not None:
            raise self.monitor.lost
        self._transactions.record_before_commit(
            session,
            self._backend(session),
            self.attempt.revision or "",
            is_recorded_elsewhere=self.attempt.version_written and self._request.up,
            has_fired_deferred=self.attempt.has_fired_deferred,
        )
        self._exclusive_tables.forget(session)
        statements = self._open.pop(id(session), [])
        if not self.attempt.version_written:
            # It goes on after this commit.
            self._autocommit.notes.has_committed()
            self._autocommit.notes.committing(session, statements)

    def _rolled_back(self, conn: Connection) -> None:
        if self._runner.owns_connection(conn):
            self._after_rollback(conn.connection.dbapi_connection)

    def _after_rollback(self, session: Any) -> None:
        self._created_tables.clear()
        self._granted.clear()
        self._open.pop(id(session), None)
        self._exclusive_tables.forget(session)
        self._limits.forget()
        if self._trace is not None:
            self._trace.transaction_ended(committed=False)

    def _rolled_back_to(self, conn: Connection, name: str, context: None) -> None:
        del conn, name, context
        self._forget_made()

    def _forget_made(self) -> None:
        self._created_tables.clear()
        self._granted.clear()
        self._limits.forget()


def _as_sent(conn: Connection, statement: str) -> str:
    """The text that the server gets: the driver takes two percent signs for one."""
    return statement.replace("%%", "%") if conn.dialect.paramstyle in {"format", "pyformat"} else statement
