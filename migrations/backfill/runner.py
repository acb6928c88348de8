"""One run of a backfill: batch after batch, from where the one before stopped."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection

from migrations.backfill.batch_sql import Backfill, KeyColumn, quoted
from migrations.backfill.errors import (
    BackfillChanged,
    BackfillIncomplete,
    BackfillLost,
    BackfillRefused,
    BackfillStopped,
)
from migrations.backfill.pace import FIRST_ROWS, Look, Looker, Pace, next_rows
from migrations.backfill.progress import BackfillProgress, Surroundings, tell
from migrations.backfill.state import Batch, Kept, Position, RawSession, ensure_tables, lock_holder
from migrations.database.literals import literal
from migrations.database.session import connect
from migrations.disclosure.server_messages import worded
from migrations.errors import DatabaseUnreachable, LockBudgetExceeded, RevisionFailed, is_cut
from migrations.history.environments import written
from migrations.history.overwritten import Part

log = logging.getLogger(__name__)

MOST_COUNTED = 1000
LONGEST_PAUSE_S = 1.0
WAIT_S = 0.5

# Settings by which a value that is written as a text is read the same by every session.
PLAIN = {"DateStyle": "ISO", "IntervalStyle": "iso_8601", "extra_float_digits": "1"}

# Source: lock_not_available, deadlock_detected.
_CONTENDED = frozenset({"55P03", "40P01"})


class Run:
    """One walk over the rows.

    Args:
        connection: the revision's, in an autocommit block.
        backfill: what is asked for.
        kept: where its position is kept.
        around: what is known of the session.
        verify: whether to look in the end that no row needs it any more.
    """

    def __init__(
        self, connection: Connection, backfill: Backfill, kept: Kept, around: Surroundings, *, verify: bool
    ) -> None:
        self._connection = connection
        self._session = RawSession(connection.connection.dbapi_connection)
        self._backfill = backfill
        self._verify = verify and bool(backfill.where)
        self._kept = kept
        self._around = around
        self._relation, self._estimate = self._shape()
        self._kinds = tuple(KeyColumn(*(str(part) for part in row)) for row in self._session.rows(backfill.key_query()))
        self._unusual = _unusual(self._session)
        self._passed = self._changed = self._passed_here = self._changed_here = 0
        self._began = time.monotonic()

    def walk(self) -> None:
        """Go over all rows, from where it was."""
        self._open()
        holder = lock_holder(self._session)
        block = self._backfill.block()
        with self._around.as_one_statement(self._connection, block, lambda: self._changed_here):
            self._batches(holder)
        if self._verify:
            self._look_for_remaining()

    def _shape(self) -> tuple[str, int]:
        row = self._session.row(self._backfill.shape_query())
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
        digest = self._kept.open(
            self._session,
            relation=self._relation,
            digest=self._backfill.digest,
            estimate=self._estimate,
            batch_rows=FIRST_ROWS,
        )
        if digest != self._backfill.digest:
            position, _ = self._look_at_position()
            raise BackfillChanged(self._kept.revision, self._relation, position.passed)

    def _look_at_position(self) -> tuple[Position, bool]:
        with self._session.transaction():
            return self._position(None)

    def _position(self, holder: int | None) -> tuple[Position, bool]:
        found = self._kept.lock(self._session, lock_timeout_ms=self._around.lock_timeout_ms, holder=holder)
        if found is None:
            raise self._stopped("its position is gone")
        self._passed, self._changed = found[0].passed, found[0].changed
        return found

    def _batches(self, holder: int | None) -> None:
        with _looking(self._connection, self._around, self._backfill) as look:
            pace = Pace(self._around.limits, look)
            tries, first_try = 0, time.monotonic()
            while True:
                began = time.monotonic()
                try:
                    going_on = self._batch(holder)
                except Exception as error:
                    tries += 1
                    self._pause_or_raise(error, tries, began - first_try)
                    continue
                took_s = time.monotonic() - began
                if going_on is None:
                    return
                tries, first_try = 0, time.monotonic()
                if going_on:
                    self._tell(going_on)
                    time.sleep(WAIT_S)
                else:
                    self._rest(pace, took_s)
                    first_try = time.monotonic()

    def _batch(self, holder: int | None) -> str | None:
        """One batch: why it did nothing, which is empty where it did; None where all rows are done."""
        session, backfill = self._session, self._backfill
        began = time.monotonic()
        with session.transaction():
            position, held = self._position(holder)
            if position.finished:
                return None
            if not held:
                raise self._stopped("the session that held the migration lock is gone")
            if position.paused:
                return f"paused: pilotage backfill resume {self._kept.revision}"
            above = "" if position.key is None else backfill.after(position.key, self._kinds)
            passed, last = self._next(position)
            # Where there is nothing to do, the statement is still seen to be one that the server takes.
            upto = backfill.up_to(last, self._kinds) if last else "false"
            bounds = f"{above} AND {upto}" if above else upto
            statement = backfill.statement(bounds)
            before = self._written()
            changed = self._sent(statement)
            finished = passed < position.batch_rows
            rows = next_rows(position.batch_rows, time.monotonic() - began, self._around.limits.target_ms)
            done = Batch(last or position.key, passed, changed, rows, finished=finished)
            self._kept.advance(session, done)
            if self._around.locked is not None:
                # Triggers may have written to rows of other batches.
                within = bounds if self._written() - before == changed else "true"
                self._around.locked(Part(self._relation, quoted(backfill.table), within))
        self._count_in(passed, changed)
        self._tell(finished=finished)
        return None if finished else ""

    def _next(self, position: Position) -> tuple[int, tuple[str, ...] | None]:
        """How many rows the next batch has, and the key of the last of them; None where there are none."""
        with self._written_plainly():
            row = self._session.row(self._backfill.last_key_query(position.key, position.batch_rows, self._kinds))
        if row is None:
            return 0, None
        if not (row[2] and row[3]):
            raise BackfillLost(self._kept.revision, self._relation, self._passed, self._backfill.key)
        return int(row[0]), tuple(str(part) for part in row[1])

    @contextmanager
    def _written_plainly(self) -> Generator[None]:
        """Let values be written as any session reads them; in a transaction, whose failure takes this back too."""
        if self._unusual:
            self._session.row(_settings({name: PLAIN[name] for name in self._unusual}))
        yield
        if self._unusual:
            self._session.row(_settings(self._unusual))

    def _written(self) -> int:
        """How many rows of the table were updated or deleted; it goes on counting within a transaction."""
        row = self._session.row(self._backfill.written_query())
        return int(row[0]) if row else 0

    def _sent(self, statement: str) -> int:
        try:
            return self._session.send(statement)
        except Exception as error:
            if _sqlstate(error) in _CONTENDED or (isinstance(error, psycopg.Error) and is_cut(error)):
                raise
            raise RevisionFailed(
                self._kept.revision,
                sqlstate=_sqlstate(error),
                statement=statement,
                message=worded(error),
                left_behind=[f"{self._changed} rows of {self._relation} that are done; applying again goes on there"],
            ) from None

    def _pause_or_raise(self, error: Exception, tries: int, spent_s: float) -> None:
        """Wait before the next try where rows were locked; smaller batches meet fewer of them."""
        if _sqlstate(error) not in _CONTENDED:
            raise error
        if spent_s >= self._around.budget_s:
            others = self._around.blockers()
            raise LockBudgetExceeded(self._kept.revision, self._around.budget_s, tries, others) from error
        with self._session.transaction():
            position, _ = self._position(None)
            self._kept.resize(self._session, max(1, position.batch_rows // 2))
        time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, self._around.lock_timeout_ms / 1000 * 2**tries)))  # noqa: S311

    def _rest(self, pace: Pace, took_s: float) -> None:
        """Let others have their turn, and wait while the database has enough to do."""
        time.sleep(took_s * self._around.limits.rest_share)
        while reason := pace.reason_to_wait():
            if pace.waited_s > self._around.limits.patience_s:
                raise self._stopped(f"{reason}, for {pace.waited_s:.0f} s")
            self._tell(reason)
            time.sleep(WAIT_S)

    def _count_in(self, passed: int, changed: int) -> None:
        self._passed, self._passed_here = self._passed + passed, self._passed_here + passed
        self._changed, self._changed_here = self._changed + changed, self._changed_here + changed

    def _tell(self, waiting: str = "", *, finished: bool = False) -> None:
        total = max(self._estimate, self._passed)
        elapsed_s = time.monotonic() - self._began
        rate = self._passed_here / elapsed_s if elapsed_s > 0 else 0.0
        left_s = (total - self._passed) / rate if rate > 0 else None
        tell(
            BackfillProgress(
                self._kept.revision,
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
        return BackfillStopped(self._kept.revision, self._relation, self._passed, reason)

    def _look_for_remaining(self) -> None:
        """Say so where rows are left that need it."""
        found = self._session.rows(self._backfill.remaining_query(MOST_COUNTED))
        if found:
            raise BackfillIncomplete(self._kept.revision, self._relation, len(found), self._backfill.where)


@contextmanager
def _looking(connection: Connection, around: Surroundings, backfill: Backfill) -> Generator[Callable[[], Look | None]]:
    """A way to look at the database from a session of its own; one that sees nothing where there is none to be had."""
    url = connection.engine.url
    dsn = around.dsn
    if dsn is None and url.database is not None:
        dsn = written(url.set(drivername="postgresql"))
    try:
        session = None if dsn is None else connect(dsn, autocommit=True, application_name="pilotage backfill probe")
    except DatabaseUnreachable as error:
        log.warning("the backfill goes on without looking at the database: %s", error)
        session = None
    if session is None:
        yield lambda: None
        return
    with session:
        yield Looker(session, backfill).look


def _unusual(session: RawSession) -> dict[str, str]:
    """What a session is set to, where it does not write values plainly."""
    row = session.row(f"SELECT {', '.join(f'current_setting({literal(name)})' for name in PLAIN)}")
    given = dict(zip(PLAIN, (str(one) for one in row or ()), strict=True))
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
