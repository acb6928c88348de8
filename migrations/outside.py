"""Statements outside a transaction: sent once, whatever interrupts them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from migrations.attempt import Attempt, Order
from migrations.concurrent_index import ConcurrentIndexes
from migrations.concurrent_statements import ConcurrentStatement, concurrent
from migrations.time_limits import asked_past_sqlalchemy
from migrations.unfinished import Unfinished
from migrations.wanted_locks import Wanted
from migrations.watching import Watching


class Outside:
    """Goes on where an earlier try of a revision was cut off.

    Args:
        dsn: direct connection string of the owner.
        session: in autocommit, not the one that migrates.
        order: what is to be done.
        watch: looks at whom it waits for.
        tell: told of what stands already, and of what is taken away.
    """

    def __init__(
        self, dsn: str, session: psycopg.Connection, order: Order, watch: Watching, tell: Callable[[str], None]
    ) -> None:
        self.note = Unfinished(session, keeping=order.keeping, up=order.up)
        self._indexes = ConcurrentIndexes(dsn, session, watch, tell)
        self._order = order
        self._tell = tell
        self._running: ConcurrentStatement | None = None
        self._wrapped = False

    def open(self, revision: str) -> None:
        """Begin a revision."""
        self._running, self._wrapped = None, False
        self.note.open(revision)
        if self.note.number:
            self._tell(f"{self.note.number} statements stand of a try that was cut off")

    def stands(self, attempt: Attempt, statement: str) -> bool:
        """Whether a statement was committed by an earlier try, and need not be sent.

        Raises:
            HalfApplied: how to go on is not certain.
        """
        return self.note.stands(len(attempt.statements), statement)

    def before(self, session: Any, attempt: Attempt, statement: str, asked: Wanted) -> bool:
        """Prepare a statement that is about to be sent outside a transaction.

        Args:
            session: the driver's connection, which will send it.
            attempt: what the revision has sent before it.
            statement: its text.
            asked: what it asks for.

        Returns:
            Whether it has had its effect already, and is not to be sent.

        Raises:
            IndexInTheWay: an index stands in the place of one that it builds.
        """
        revision = attempt.revision or ""
        self._running = concurrent(statement) if asked.patient else None
        if self._running is not None:
            was_begun = self.note.was_begun(len(attempt.statements), statement)
            known = self._is_known(self._running.index, revision)
            if self._indexes.prepare(self._running, statement, revision, self.note, was_begun=was_begun, known=known):
                return True
        if asked.atomic and self.note.can_go_on and isinstance(session, psycopg.Connection):
            # It can stand in a transaction, and so can the note of it.
            asked_past_sqlalchemy(session, "BEGIN")
            self._wrapped = True
        elif not self._is_lone(len(attempt.statements)):
            invalid = self._indexes.invalid_before() if self._running else ()
            self.note.begins(attempt.statements, statement, invalid)
        return False

    def after(self, session: Any, attempt: Attempt) -> None:
        """Note a statement that has ended, outside a transaction."""
        if self._wrapped:
            self.note.committing(session, attempt.statements)
            asked_past_sqlalchemy(session, "COMMIT")
            self._wrapped = False
        elif not self._is_lone(len(attempt.statements) - 1):
            self.note.ended(attempt.statements)
        self._running = None

    def marking(self, session: Any) -> None:
        """The transaction begins to write that the revision is applied."""
        self.note.marking(session)

    def _is_lone(self, before: int) -> bool:
        """Whether the catalogue tells enough of a statement: it is a build, and the first of its revision."""
        return self._running is not None and before == 0 and not self.note.tells

    def failed(self, session: Any) -> None:
        """Take back the transaction that was put around a statement."""
        if self._wrapped:
            self._wrapped = False
            with suppress(Exception):
                asked_past_sqlalchemy(session, "ROLLBACK")

    def clean(self) -> list[str]:
        """Take away what a statement that failed has left; what could not be taken away."""
        running, self._running = self._running, None
        if running is None:
            return []
        if running.kind != "drop":
            return self._indexes.clean(running)
        with suppress(psycopg.Error):
            if self._indexes.is_invalid(running):
                return [f"invalid index {running.named}, which the next try drops"]
        return []

    def _is_known(self, index: str, revision: str) -> bool:
        """Whether the history tells of an index elsewhere than in the statement that drops it."""
        if not index:
            return False
        history = self._order.history
        own = history.revision(revision)
        if not self._order.up:
            return own.path.read_text().count(index) > 1
        below = history.path_ids(own.down_revisions)
        return any(index in history.revision(one).path.read_text() for one in below)
