"""What stands of a revision that was cut off outside a transaction: kept in the target, by the session that works.

A note is written before a statement that cannot stand in a transaction, and in the very transaction that commits what
can. It is taken away in the transaction that marks the revision: a revision with a note is one that was cut off. It is
not begun again, unless its note says no more than that one statement was begun of which the catalogue tells whether it
was done. No other session writes here while the migrating one lives: it might wait for that one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from migrations.apply.errors import HalfApplied
from migrations.apply.repeatability import repeatability_of
from migrations.database.time_limits import execute_raw
from migrations.database.tools_tables import KEEP_OURS
from migrations.history.applied_revisions import RESUME_NOTES_TABLE

log = logging.getLogger(__name__)

ProgressNotes = Literal["permanent", "temporary", "off"]

# A loop may send thousands.
MOST_KEPT = 20
_REFUSED = "42501"

_READ = b"SELECT revision, way, statements, begun, invalid::bigint[] FROM pilotage.unfinished_revisions"
_WRITE = sql.SQL("""
INSERT INTO pilotage.unfinished_revisions (revision, way, statements, begun, invalid)
VALUES ({}, {}, {}::text[], {}, {}::oid[])
ON CONFLICT (revision, way) DO UPDATE
SET statements = excluded.statements, begun = excluded.begun, invalid = excluded.invalid, noted_at = clock_timestamp()
""")
_FORGET = sql.SQL("DELETE FROM pilotage.unfinished_revisions WHERE revision = {}")
_MAKE = ("CREATE SCHEMA IF NOT EXISTS pilotage", RESUME_NOTES_TABLE, KEEP_OURS)
_THERE = b"SELECT to_regclass('pilotage.unfinished_revisions') IS NOT NULL, to_regnamespace('pilotage') IS NOT NULL"
_IS_EMPTY = "SELECT NOT EXISTS (SELECT FROM pilotage.unfinished_revisions)"
_IS_BARE = "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('pilotage'))"
# What a cursor WITH HOLD asks for runs when its transaction is committed.
_HAS_WRITTEN = """
SELECT pg_current_xact_id_if_assigned() IS NOT NULL OR EXISTS (SELECT FROM pg_cursors WHERE is_holdable)
"""


@dataclass(frozen=True)
class InterruptedStatement:
    """A statement outside a transaction in which an earlier try of its revision was cut off, before any other.

    Attributes:
        statement: its text.
        indexes: the indexes that its table had before.
    """

    statement: str
    indexes: frozenset[int]


class ResumeNotes:
    """The note of how far the revision has come that runs now, from which a later run resumes it.

    Args:
        progress_notes: `permanent` where the database has a record of what was applied; `temporary` where nothing of
            ours is to stay in it; or `off`.
        up: whether the revision is on its way up.

    Attributes:
        interrupted: the statement in which an earlier try was cut off, and which this one has to send first.
    """

    def __init__(self, *, progress_notes: ProgressNotes, up: bool) -> None:
        self._progress_notes: ProgressNotes = progress_notes
        self._way = "up" if up else "down"
        self._left: dict[tuple[str, str], tuple[list[str], str | None, list[int]]] = {}
        self._is_there = progress_notes == "permanent"
        self._is_ours: bool | None = None
        self._reset("")

    def _reset(self, revision: str) -> None:
        self._revision = revision
        self._committed: list[str] = []
        self._committing: list[str] = []
        self._is_half_applied = False
        self._is_noted = False
        self.interrupted: InterruptedStatement | None = None

    @property
    def committed(self) -> tuple[str, ...]:
        """The statements of this try that stand whatever comes, without the values that they write."""
        return (*self._committed, *self._committing)

    @property
    def is_half_applied(self) -> bool:
        """Whether what stands keeps the revision from being begun again."""
        return self._is_half_applied or bool(self._committing)

    @property
    def is_noted(self) -> bool:
        """Whether the database has a note of the revision."""
        return self._is_noted

    def look(self, session: psycopg.Connection) -> None:
        """Read what earlier tries have left: before each try, since nobody else writes while it lasts."""
        self._left.clear()
        if self._progress_notes == "off":
            return
        row = session.execute(_THERE).fetchone()
        self._is_there, has_schema = (bool(row[0]), bool(row[1])) if row else (False, False)
        if self._is_ours is None:
            # A schema that was there before, without a table of ours, is somebody's.
            self._is_ours = self._is_there or not has_schema
        if self._is_there:
            rows = session.execute(_READ).fetchall()
            self._left = {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}

    def open(self, revision: str) -> None:
        """Begin a revision.

        Raises:
            HalfApplied: an earlier try was cut off, and how to go on is not certain.
        """
        self._reset(revision)
        found = self._left.get((revision, self._way))
        if found is None:
            return
        committed, interrupted, indexes = found
        if committed or interrupted is None or repeatability_of(interrupted).kind != "verifiable":
            raise HalfApplied(
                revision, committed, "" if interrupted is None else repeatability_of(interrupted).normalized
            )
        self._is_noted, self.interrupted = True, InterruptedStatement(interrupted, frozenset(indexes))

    def match_interrupted(self, statement: str) -> InterruptedStatement | None:
        """What an earlier try was cut off in, where it is this very statement.

        Raises:
            HalfApplied: the revision sends another one now.
        """
        interrupted, self.interrupted = self.interrupted, None
        if interrupted is not None and interrupted.statement != statement:
            raise HalfApplied(self._revision, (), interrupted.statement)
        return interrupted

    def write_before_sending(self, session: Any, statement: str, indexes: Sequence[int] = ()) -> None:
        """Note a statement before it is sent, since it cannot stand in a transaction with its note.

        Args:
            session: the driver's connection.
            statement: its text.
            indexes: the indexes that its table has.
        """
        self._is_half_applied = self._is_half_applied or bool(self._committed)
        self._write(session, self._committed, statement, indexes)

    def write_committed(self, session: Any, statement: str) -> None:
        """Note a statement that stands and may not be sent again, where it could, in the transaction of it."""
        self._write(session, [*self._committed, repeatability_of(statement).normalized], None)

    def add(self, statement: str, *, is_half_applied: bool) -> None:
        """A statement stands.

        Args:
            statement: its text.
            is_half_applied: whether it keeps the revision from being begun again.
        """
        self._committed.append(repeatability_of(statement).normalized)
        self._is_half_applied = self._is_half_applied or is_half_applied

    def committing(self, session: Any, statements: Sequence[str], interrupted: str | None = None) -> None:
        """A transaction is about to be committed though its revision goes on: note it there, if it has written.

        Args:
            session: the driver's connection.
            statements: what was sent in it.
            interrupted: the text that commits it, where that goes on.

        Raises:
            HalfApplied: an earlier try was cut off in another statement, which has not come yet.
        """
        if is_idle(session) or (interrupted is None and not has_written(session)):
            return
        if self.interrupted is not None:
            raise HalfApplied(self._revision, (), self.interrupted.statement)
        committing = [repeatability_of(one).normalized for one in statements] or ["a transaction"]
        self._write(session, [*self._committed, *committing], interrupted)
        self._committing = committing

    def has_committed(self) -> None:
        """What was about to be committed stands: the revision has gone on."""
        self._committed += self._committing
        self._is_half_applied = self.is_half_applied
        self._committing = []

    def failed(self, session: Any) -> None:
        """A statement that was noted has failed and left nothing."""
        if self._committed:
            self._write(session, self._committed, None)
        elif self._is_noted:
            self._forget(session)

    def forget_commit(self) -> None:
        """The transaction that was about to be committed was rolled back."""
        self._committing = []

    def before_version_written(self, session: Any) -> None:
        """Take the note away in the transaction that marks the revision.

        Raises:
            HalfApplied: an earlier try was cut off in a statement that did not come.
        """
        if self.interrupted is not None:
            raise HalfApplied(self._revision, (), self.interrupted.statement)
        if self._is_noted:
            self._forget(session)

    def tidy(self, session: psycopg.Connection) -> None:
        """Take away what was made for the notes, once the migrating session has ended, where nothing is to stay."""
        if self._progress_notes != "permanent" and self._is_ours is not None:
            tidy(session, with_schema=self._is_ours)

    def _write(
        self, session: Any, committed: Sequence[str], interrupted: str | None, indexes: Sequence[int] = ()
    ) -> None:
        if self._progress_notes == "off":
            return
        # Where the role may not write the note, the transaction goes on without it.
        is_guarded = self._progress_notes == "temporary" and _is_in_transaction(session)
        if is_guarded:
            execute_raw(session, "SAVEPOINT pilotage_note")
        try:
            self._send(session, (self._revision, self._way, list(committed[:MOST_KEPT]), interrupted, list(indexes)))
        except Exception as error:
            if self._progress_notes == "permanent" or _state_of(error) != _REFUSED:
                raise
            if is_guarded:
                execute_raw(session, "ROLLBACK TO SAVEPOINT pilotage_note")
            log.warning("how far %s comes cannot be noted: the role may not create a schema", self._revision)
            self._progress_notes = "off"
        if is_guarded:
            execute_raw(session, "RELEASE SAVEPOINT pilotage_note")

    def _send(self, session: Any, given: Sequence[Any]) -> None:
        if not self._is_there:
            for one in _MAKE:
                execute_raw(session, one)
        execute_raw(session, _WRITE.format(*(sql.Literal(one) for one in given)).as_string())
        self._is_there = self._is_noted = True

    def _forget(self, session: Any) -> None:
        execute_raw(session, _FORGET.format(sql.Literal(self._revision)).as_string())
        self._is_noted = False


def tidy(session: psycopg.Connection, *, with_schema: bool = True) -> None:
    """Take away the table of the notes where none is left, and the schema where nothing else is in it.

    Args:
        session: in autocommit.
        with_schema: whether the schema is ours.
    """
    try:
        session.execute("SET lock_timeout = '1s'")
        if _is_there(session) and execute_raw(session, _IS_EMPTY):
            session.execute("DROP TABLE pilotage.unfinished_revisions")
            if with_schema and execute_raw(session, _IS_BARE):
                session.execute("DROP SCHEMA pilotage")
    except psycopg.Error as error:
        if session.closed:
            return
        log.warning("the schema pilotage is left behind: drop it, where nothing else is in it (%s)", error)


def has_written(session: Any) -> bool:
    """Whether the transaction of a session has written anything.

    Args:
        session: the driver's connection.
    """
    return bool(execute_raw(session, _HAS_WRITTEN))


def is_idle(session: Any) -> bool:
    """Whether a session is known to be in no transaction, whatever its driver."""
    status = getattr(getattr(session, "info", None), "transaction_status", None)
    return status == psycopg.pq.TransactionStatus.IDLE


def is_unfinished(connection: psycopg.Connection, revision: str) -> bool:
    """Whether a try of a revision was cut off half-way, as far as the database keeps notes."""
    if not _is_there(connection):
        return False
    found = connection.execute("SELECT FROM pilotage.unfinished_revisions WHERE revision = %s", (revision,)).fetchone()
    return found is not None


def forget_by_hand(connection: psycopg.Connection, revision: str) -> None:
    """Take a revision's notes away, where there are any: somebody says where it stands."""
    if is_unfinished(connection, revision):
        connection.execute("DELETE FROM pilotage.unfinished_revisions WHERE revision = %s", (revision,))


def _is_there(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT to_regclass('pilotage.unfinished_revisions') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])


def _state_of(error: BaseException) -> str | None:
    found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return str(found) if found else None


def _is_in_transaction(session: Any) -> bool:
    status = getattr(getattr(session, "info", None), "transaction_status", None)
    return not session.autocommit or status == psycopg.pq.TransactionStatus.INTRANS
