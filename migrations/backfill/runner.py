"""One run of a backfill: batch after batch, from where the one before stopped."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection

from migrations.backfill.batch_statements import Backfill, KeyColumn, quoted_identifier
from migrations.backfill.errors import (
    BackfillChanged,
    BackfillIncomplete,
    BackfillLost,
    BackfillRefused,
    BackfillStopped,
)
from migrations.backfill.positions import (
    Batch,
    Position,
    RawSession,
    StoredPosition,
    ensure_tables,
    migration_lock_holder,
)
from migrations.backfill.progress import BackfillContext, BackfillProgress, report_progress
from migrations.backfill.throttle import FIRST_ROWS, LoadSample, LoadSampler, Throttle, next_rows
from migrations.database.literals import literal
from migrations.database.session import connect
from migrations.disclosure.server_messages import safe_message
from migrations.errors import DatabaseUnreachable, LockBudgetExceeded, RevisionFailed, is_cut
from migrations.history.env_runners import url_text
from migrations.history.overwritten_values import BatchRows
from migrations.history.revision_transactions import FIRE_DEFERRED_TRIGGERS

log = logging.getLogger(__name__)

MOST_COUNTED = 1000
LONGEST_PAUSE_S = 1.0
WAIT_S = 0.5

# Settings under which every session reads a value that was written as text the same.
UNAMBIGUOUS_OUTPUT = {"DateStyle": "ISO", "IntervalStyle": "iso_8601", "extra_float_digits": "1"}

# Source: lock_not_available, deadlock_detected.
_CONTENDED = frozenset({"55P03", "40P01"})


class BackfillRun:
    """One run of a backfill over the rows that are left.

    Args:
        connection: the revision's connection, in an autocommit block.
        backfill: what the revision asks for.
        stored_position: the row that holds its position.
        context: what apply hands to it.
        verify: whether to check in the end that no row meets the condition any more.
    """

    def __init__(
        self,
        connection: Connection,
        backfill: Backfill,
        stored_position: StoredPosition,
        context: BackfillContext,
        *,
        verify: bool,
    ) -> None:
        self._connection = connection
        self._session = RawSession(connection.connection.dbapi_connection)
        self._backfill = backfill
        self._verify = verify and bool(backfill.where)
        self._stored_position = stored_position
        self._context = context
        self._relation, self._estimate = self._table()
        self._key_columns = tuple(
            KeyColumn(*(str(part) for part in row)) for row in self._session.rows(backfill.key_query())
        )
        self._nondefault_settings = _nondefault_settings(self._session)
        self._passed = self._changed = self._passed_in_run = self._changed_in_run = 0
        self._began = time.monotonic()

    def run(self) -> None:
        """Run batches from the stored position to the end of the table."""
        self._open()
        holder = migration_lock_holder(self._session)
        do_block = self._backfill.do_block()
        with self._context.counted_as_one_statement(self._connection, do_block, lambda: self._changed_in_run):
            self._batches(holder)
        if self._verify:
            self._verify_none_remaining()

    def _table(self) -> tuple[str, int]:
        row = self._session.row(self._backfill.table_query())
        if row is None:
            raise BackfillRefused(self._backfill.name, "there is no such table")
        if not row[2]:
            key = ", ".join(self._backfill.key)
            raise BackfillRefused(
                str(row[0]), f"it has no unique index on ({key}), in this order, of columns that are NOT NULL"
            )
        return str(row[0]), int(row[1])

    def _open(self) -> None:
        try:
            ensure_tables(self._session)
        except Exception as error:
            if _sqlstate(error) != "42501":
                raise
            raise BackfillRefused(
                self._relation, "it keeps its position in the schema pilotage, which this role may not make"
            ) from error
        digest = self._stored_position.open(
            self._session,
            relation=self._relation,
            digest=self._backfill.digest,
            estimate=self._estimate,
            batch_rows=FIRST_ROWS,
        )
        if digest != self._backfill.digest:
            position, _ = self._read_position()
            raise BackfillChanged(self._stored_position.revision, self._relation, position.passed)

    def _read_position(self) -> tuple[Position, bool]:
        with self._session.transaction():
            return self._position(None)

    def _position(self, holder: int | None) -> tuple[Position, bool]:
        found = self._stored_position.lock(self._session, lock_timeout_ms=self._context.lock_timeout_ms, holder=holder)
        if found is None:
            raise self._stopped("its position is gone")
        self._passed, self._changed = found[0].passed, found[0].changed
        return found

    def _batches(self, holder: int | None) -> None:
        with _load_sampling(self._connection, self._context, self._backfill) as sample:
            throttle = Throttle(self._context.limits, sample)
            tries, first_try = 0, time.monotonic()
            while True:
                began = time.monotonic()
                try:
                    reason = self._batch(holder)
                except Exception as error:
                    tries += 1
                    self._pause_or_raise(error, tries, began - first_try)
                    continue
                took_s = time.monotonic() - began
                if reason is None:
                    return
                tries, first_try = 0, time.monotonic()
                if reason:
                    self._report_progress(reason)
                    time.sleep(WAIT_S)
                else:
                    self._rest_and_wait(throttle, took_s)
                    first_try = time.monotonic()

    def _batch(self, holder: int | None) -> str | None:
        """Run one batch. Returns why it could not run, empty where it ran, None where all rows are done."""
        session, backfill = self._session, self._backfill
        began = time.monotonic()
        with session.transaction():
            position, held = self._position(holder)
            if position.finished:
                return None
            if not held:
                raise self._stopped("the session that held the migration lock is gone")
            if position.paused:
                return f"paused: pilotage backfill resume {self._stored_position.revision}"
            above = "" if position.key is None else backfill.after(position.key, self._key_columns)
            passed, last = self._next_batch_end(position)
            # Where there is nothing to do, the statement is still seen to be one that the server takes.
            upto = backfill.up_to(last, self._key_columns) if last else "false"
            bounds = f"{above} AND {upto}" if above else upto
            statement = backfill.statement(bounds)
            before = self._write_count()
            changed = self._send_update(statement)
            finished = passed < position.batch_rows
            rows = next_rows(position.batch_rows, time.monotonic() - began, self._context.limits.target_ms)
            done = Batch(last or position.key, passed, changed, rows, finished=finished)
            self._stored_position.advance(session, done)
            if self._context.before_batch_commit is not None:
                # Triggers may have written to rows of other batches.
                within = bounds if self._write_count() - before == changed else "true"
                self._context.before_batch_commit(BatchRows(self._relation, quoted_identifier(backfill.table), within))
        self._add_to_counts(passed, changed)
        self._report_progress(finished=finished)
        return None if finished else ""

    def _next_batch_end(self, position: Position) -> tuple[int, tuple[str, ...] | None]:
        """How many rows the next batch has, and the key of the last one; None where no row is left."""
        with self._unambiguous_output():
            row = self._session.row(self._backfill.last_key_query(position.key, position.batch_rows, self._key_columns))
        if row is None:
            return 0, None
        if not (row[2] and row[3]):
            raise BackfillLost(self._stored_position.revision, self._relation, self._passed, self._backfill.key)
        return int(row[0]), tuple(str(part) for part in row[1])

    @contextmanager
    def _unambiguous_output(self) -> Generator[None]:
        """Let the server write values so that every session reads them the same; a rollback undoes it."""
        if self._nondefault_settings:
            self._session.row(_settings({name: UNAMBIGUOUS_OUTPUT[name] for name in self._nondefault_settings}))
        yield
        if self._nondefault_settings:
            self._session.row(_settings(self._nondefault_settings))

    def _write_count(self) -> int:
        """How many rows of the table this transaction has updated or deleted so far."""
        row = self._session.row(self._backfill.write_count_query())
        return int(row[0]) if row else 0

    def _send_update(self, statement: str) -> int:
        try:
            changed = self._session.send(statement)
            # What deferred triggers write counts, too.
            self._session.send(FIRE_DEFERRED_TRIGGERS)
        except Exception as error:
            if _sqlstate(error) in _CONTENDED or (isinstance(error, psycopg.Error) and is_cut(error)):
                raise
            raise RevisionFailed(
                self._stored_position.revision,
                sqlstate=_sqlstate(error),
                statement=statement,
                message=safe_message(error),
                left_behind=[f"{self._changed} rows of {self._relation} that are done; applying again goes on there"],
            ) from None
        return changed

    def _pause_or_raise(self, error: Exception, tries: int, spent_s: float) -> None:
        """Halve the batch and pause where rows were locked; raise any other error, and when the budget is spent."""
        if _sqlstate(error) not in _CONTENDED:
            raise error
        if spent_s >= self._context.budget_s:
            others = self._context.blockers()
            raise LockBudgetExceeded(self._stored_position.revision, self._context.budget_s, tries, others) from error
        with self._session.transaction():
            position, _ = self._position(None)
            self._stored_position.resize(self._session, max(1, position.batch_rows // 2))
        time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, self._context.lock_timeout_ms / 1000 * 2**tries)))  # noqa: S311

    def _rest_and_wait(self, throttle: Throttle, took_s: float) -> None:
        """Rest after a batch, then pause while the database is under load."""
        time.sleep(took_s * self._context.limits.rest_share)
        while reason := throttle.reason_to_wait():
            if throttle.waited_s > self._context.limits.max_wait_s:
                raise self._stopped(f"{reason}, for {throttle.waited_s:.0f} s")
            self._report_progress(reason)
            time.sleep(WAIT_S)

    def _add_to_counts(self, passed: int, changed: int) -> None:
        self._passed, self._passed_in_run = self._passed + passed, self._passed_in_run + passed
        self._changed, self._changed_in_run = self._changed + changed, self._changed_in_run + changed

    def _report_progress(self, waiting: str = "", *, finished: bool = False) -> None:
        total = max(self._estimate, self._passed)
        elapsed_s = time.monotonic() - self._began
        rate = self._passed_in_run / elapsed_s if elapsed_s > 0 else 0.0
        left_s = (total - self._passed) / rate if rate > 0 else None
        report_progress(
            BackfillProgress(
                self._stored_position.revision,
                self._relation,
                self._passed,
                self._changed,
                total,
                rate,
                left_s,
                waiting,
                finished,
            )
        )

    def _stopped(self, reason: str) -> BackfillStopped:
        return BackfillStopped(self._stored_position.revision, self._relation, self._passed, reason)

    def _verify_none_remaining(self) -> None:
        """Raise where rows are left that meet the condition."""
        found = self._session.rows(self._backfill.remaining_query(MOST_COUNTED))
        if found:
            raise BackfillIncomplete(self._stored_position.revision, self._relation, len(found), self._backfill.where)


@contextmanager
def _load_sampling(
    connection: Connection, context: BackfillContext, backfill: Backfill
) -> Generator[Callable[[], LoadSample | None]]:
    """A function that measures the load from a session of its own; it returns None where that cannot be opened."""
    url = connection.engine.url
    dsn = context.dsn
    if dsn is None and url.database is not None:
        dsn = url_text(url.set(drivername="postgresql"))
    try:
        session = None if dsn is None else connect(dsn, autocommit=True, application_name="pilotage backfill probe")
    except DatabaseUnreachable as error:
        log.warning("the backfill goes on without looking at the database: %s", error)
        session = None
    if session is None:
        yield lambda: None
        return
    with session:
        yield LoadSampler(session, backfill).sample


def _nondefault_settings(session: RawSession) -> dict[str, str]:
    """The settings of a session that differ from those by which values are written unambiguously."""
    row = session.row(f"SELECT {', '.join(f'current_setting({literal(name)})' for name in UNAMBIGUOUS_OUTPUT)}")
    given = dict(zip(UNAMBIGUOUS_OUTPUT, (str(one) for one in row or ()), strict=True))
    plain = {
        "DateStyle": given["DateStyle"].startswith("ISO"),
        "IntervalStyle": given["IntervalStyle"] in {"postgres", "iso_8601"},
        "extra_float_digits": int(given["extra_float_digits"]) > 0,
    }
    return {name: value for name, value in given.items() if not plain[name]}


def _settings(values: Mapping[str, str]) -> str:
    return f"SELECT {', '.join(f'set_config({literal(n)}, {literal(v)}, true)' for n, v in values.items())}"


def _sqlstate(error: BaseException) -> str | None:
    found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return str(found) if found else None
