"""How far a revision came that works outside a transaction: kept in the target, so that the next try goes on there.

What a revision commits on its way is noted in the transaction that commits it. A statement that can stand in no
transaction is noted before it is sent and after it has ended; whether one that was cut off has had its effect, the
catalogue must tell.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, Literal

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from migrations.applied import UNFINISHED
from migrations.errors_apply import HalfApplied
from migrations.time_limits import asked_past_sqlalchemy
from migrations.tools_tables import KEEP_OURS

log = logging.getLogger(__name__)

Keeping = Literal["always", "while needed", "never"]

_READ = b"SELECT revision, way, statements, begun, invalid::bigint[] FROM pilotage.unfinished_revisions"
_BEGIN = """
INSERT INTO pilotage.unfinished_revisions (revision, way, statements, begun, invalid) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (revision, way) DO UPDATE
SET statements = excluded.statements, begun = excluded.begun, invalid = excluded.invalid, noted_at = clock_timestamp()
"""
_END = """
INSERT INTO pilotage.unfinished_revisions (revision, way, statements) VALUES ({}, {}, {})
ON CONFLICT (revision, way) DO UPDATE
SET statements = excluded.statements, begun = NULL, invalid = '{{}}', noted_at = clock_timestamp()
"""
_MAKE = f"CREATE SCHEMA IF NOT EXISTS pilotage; {UNFINISHED}; {KEEP_OURS}"
# Another revision's note keeps the table, and whatever else is there keeps the schema.
_TIDY = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pilotage.unfinished_revisions) THEN
        DROP TABLE pilotage.unfinished_revisions;
        IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pilotage'::regnamespace) THEN
            DROP SCHEMA pilotage;
        END IF;
    END IF;
END $$
"""
_FORGET = text("DELETE FROM pilotage.unfinished_revisions WHERE revision = :revision")
# What reads, or sets the session, is sent again: its effect ended with the session.
_SENT_AGAIN = ("select", "with", "values", "show", "set", "reset", "table", "discard", "explain")


class Unfinished:
    """The note of the revision that runs now.

    Args:
        session: in autocommit, not the one that migrates.
        keeping: `always` where the database has a record of what was applied; `while needed` where nothing of ours is
            to stay in it; or `never`.
        up: whether the revision is on its way up.

    Attributes:
        is_noted: whether the database has a note of the revision.
    """

    def __init__(self, session: psycopg.Connection, *, keeping: Keeping, up: bool) -> None:
        self._session = session
        self._keeping: Keeping = keeping
        self._way = "up" if up else "down"
        self._revision = ""
        self._is_there = keeping == "always"
        self._left: dict[tuple[str, str], tuple[list[str], str | None, list[int]]] = {}
        self._know_nothing()

    def _know_nothing(self) -> None:
        self._stood: tuple[str, ...] = ()
        self._begun: str | None = None
        self._old_invalid: frozenset[int] = frozenset()
        self.is_noted = False

    @property
    def can_go_on(self) -> bool:
        """Whether a try that was cut off can be gone on with."""
        return self._keeping != "never"

    @property
    def tells(self) -> bool:
        """Whether what was begun and has ended is known for certain: of a lone build, the catalogue tells enough."""
        return self._keeping == "always" or self.is_noted

    def look(self) -> None:
        """Read what earlier tries have left: before each walk, since nobody else writes while it lasts."""
        self._left.clear()
        if self._keeping == "while needed":
            self._is_there = _is_there(self._session)
        if self._is_there:
            rows = self._session.execute(_READ).fetchall()
            self._left = {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}

    def open(self, revision: str) -> None:
        """Begin a revision, where an earlier try has left it."""
        self._revision = revision
        self._know_nothing()
        self.is_noted = any(revision == noted for noted, _ in self._left)
        if (revision, self._way) in self._left:
            stood, self._begun, invalid = self._left[revision, self._way]
            self._stood, self._old_invalid = tuple(stood), frozenset(invalid)

    @property
    def number(self) -> int:
        """How many statements stand of an earlier try."""
        return len(self._stood)

    def stands(self, number: int, statement: str) -> bool:
        """Whether a statement was committed by an earlier try, and need not be sent again.

        Args:
            number: how many the revision has sent before it.
            statement: its text.

        Raises:
            HalfApplied: the revision sends another statement now, or one whose answer it needs.
        """
        if number >= len(self._stood):
            return False
        if self._stood[number] != digest(statement):
            raise HalfApplied(self._revision, number, statement, "it sent another statement there when it was cut off")
        is_sent_again = statement.lstrip(" \n\t(").lower().startswith(_SENT_AGAIN)
        if not is_sent_again and "returning" in statement.lower():
            raise HalfApplied(self._revision, number, statement, "it stands already, and its answer is not kept")
        return not is_sent_again

    def was_begun(self, number: int, statement: str) -> bool:
        """Whether an earlier try was cut off in this very statement."""
        return number == len(self._stood) and self._begun == digest(statement)

    def is_left_by_it(self, index: int) -> bool:
        """Whether an invalid index was not there before the statement that an earlier try was cut off in."""
        return index not in self._old_invalid

    def begins(self, statements: Sequence[str], statement: str, invalid: Sequence[int]) -> None:
        """Note a statement that can stand in no transaction, before it is sent.

        Args:
            statements: those before it, which all stand.
            statement: its text.
            invalid: the invalid indexes that are not of its making.
        """
        if self._can_note():
            before = [digest(one) for one in statements]
            given = (self._revision, self._way, before, digest(statement), list(invalid))
            self._session.execute(_BEGIN.encode(), given)

    def ended(self, statements: Sequence[str]) -> None:
        """Note that statements stand which were sent outside a transaction."""
        if len(statements) > len(self._stood) and self._can_note():
            self._session.execute(self._end(statements))

    def committing(self, session: Any, statements: Sequence[str]) -> None:
        """Note statements in the transaction that commits them.

        Args:
            session: the driver's connection, in that transaction.
            statements: all that the revision has sent.
        """
        if len(statements) > len(self._stood) and self._can_note():
            asked_past_sqlalchemy(session, self._end(statements).as_string(self._session))

    def marking(self, session: Any) -> None:
        """Take the note away in the transaction that marks a revision, where nothing of ours is to stay.

        Args:
            session: the driver's connection, in that transaction.
        """
        if self._keeping == "while needed" and self.is_noted:
            gone = sql.SQL("DELETE FROM pilotage.unfinished_revisions WHERE revision = {}")
            asked_past_sqlalchemy(session, gone.format(sql.Literal(self._revision)).as_string(self._session))

    def finished(self) -> None:
        """Take away what was made for the notes, where nothing of ours is to stay."""
        if self._keeping == "while needed" and self._is_there:
            try:
                if self.is_noted:
                    forget_by_hand(self._session, self._revision)
                self._session.execute(_TIDY.encode())
                self._is_there = False
            except psycopg.Error as error:
                log.info("the schema pilotage is left behind: %s", error)

    def _can_note(self) -> bool:
        if not self._is_there and self._keeping == "while needed":
            try:
                self._session.execute(_MAKE.encode())
                self._is_there = True
            except psycopg.errors.InsufficientPrivilege:
                log.warning("how far %s comes cannot be noted: the role may not create a schema", self._revision)
                self._keeping = "never"
        self.is_noted = self._is_there
        return self._is_there

    def _end(self, statements: Sequence[str]) -> sql.Composed:
        done = [digest(one) for one in statements]
        given = (self._revision, self._way, done)
        return sql.SQL(_END).format(*(sql.Literal(one) for one in given))


def forget(connection: Connection, revision: str) -> None:
    """Take a revision's notes away, in the transaction that marks it."""
    connection.execute(_FORGET, {"revision": revision})


def digest(statement: str) -> str:
    """What a statement is known by."""
    return hashlib.sha256(" ".join(statement.split()).encode()).hexdigest()


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
