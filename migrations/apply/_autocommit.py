"""Statements outside a transaction: each is sent once, whatever interrupts it, or HalfApplied is raised."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from migrations.apply._concurrent_index import ConcurrentIndexes
from migrations.apply.blocking_monitor import BlockingMonitor
from migrations.apply.detached_partition import detaching
from migrations.apply.repeatability import Repeatability, repeatability_of
from migrations.apply.resume_notes import ResumeNotes, has_written, is_idle
from migrations.database.time_limits import execute_raw
from migrations.sql.concurrent_statements import ConcurrentStatement, concurrent

# What has had its effect already is replaced by what has none.
NO_EFFECT = "SELECT WHERE false"
_KEEPS_OWN_PROGRESS = Repeatability("repeatable")


class AutocommitStatements:
    """Sends what works outside a transaction, and keeps the note of it.

    Args:
        dsn: direct connection string of the owner.
        session: in autocommit, not the one that migrates; the catalogue is asked here.
        notes: how far the revision has come.
        monitor: sees which sessions block it.
        tell: told of what stands already, and of what is taken away.
    """

    def __init__(
        self,
        dsn: str,
        session: psycopg.Connection,
        notes: ResumeNotes,
        monitor: BlockingMonitor,
        tell: Callable[[str], None],
    ) -> None:
        self.notes = notes
        self._session = session
        self._indexes = ConcurrentIndexes(dsn, session, monitor, tell)
        self._tell = tell
        self._open("")

    def _open(self, revision: str) -> None:
        self._revision = revision
        self._index: ConcurrentStatement | None = None
        self._running: Repeatability | None = None
        self._statement = ""
        self._is_wrapped = self._is_first = self._is_writing_version = False

    def open(self, revision: str) -> None:
        """Begin a revision.

        Raises:
            HalfApplied: an earlier try was cut off, and how to go on is not certain.
        """
        self._open(revision)
        self.notes.open(revision)

    def before(self, session: Any, statement: str, *, keeps_own_progress: bool = False) -> str:
        """Prepare a statement that is about to be sent outside a transaction.

        Args:
            session: the driver's connection, which will send it.
            statement: its text.
            keeps_own_progress: whether it keeps on its own how far it has come, as a backfill does.

        Returns:
            What is to be sent in its place: itself, as a rule.

        Raises:
            IndexInTheWay: an index stands in the place of one that it builds.
            HalfApplied: an earlier try was cut off in another statement.
        """
        self._running = running = _KEEPS_OWN_PROGRESS if keeps_own_progress else repeatability_of(statement)
        self._statement, self._is_first = statement, not self.notes.committed
        self._index = None if keeps_own_progress else concurrent(statement)
        if running.kind == "transactional" and is_idle(session):
            execute_raw(session, "BEGIN")
            self._is_wrapped = True
            return statement
        if running.kind == "verifiable":
            return self._before_verifiable(session, statement)
        self.notes.match_interrupted("")
        if self._index is not None and self._indexes.prepare(self._index, statement, self._revision):
            return NO_EFFECT
        if running.kind != "repeatable" or self.notes.is_noted:
            self.notes.write_before_sending(session, statement)
        return statement

    def _before_verifiable(self, session: Any, statement: str) -> str:
        interrupted = self.notes.match_interrupted(statement)
        if partition := detaching(statement):
            if interrupted is not None and partition.has_had_effect(self._session):
                self._tell(f"{partition.partition} is no partition of {partition.parent} any more")
                return NO_EFFECT
            statement_sent = partition.instead(self._session) or statement
        elif self._index is not None and self._indexes.prepare(self._index, statement, self._revision, interrupted):
            return NO_EFFECT
        else:
            statement_sent = statement
        is_excused = self._is_first and self._index is not None and self._index.excuses
        if interrupted is None and not is_excused:
            self.notes.write_before_sending(session, statement, self._indexes.standing)
        return statement_sent

    def before_version_written(self, session: Any) -> None:
        """The revision is about to be marked: its note goes in the same transaction.

        Raises:
            HalfApplied: an earlier try was cut off in a statement that did not come.
        """
        self._is_writing_version = self.notes.is_noted and bool(session.autocommit) and is_idle(session)
        if self._is_writing_version:
            execute_raw(session, "BEGIN")
        self.notes.before_version_written(session)

    def version_written(self, session: Any) -> None:
        """The revision is marked."""
        if self._is_writing_version:
            execute_raw(session, "COMMIT")
            self._is_writing_version = False

    def after(self, session: Any) -> None:
        """Note a statement that has ended, outside a transaction.

        Raises:
            HalfApplied: an earlier try was cut off in another statement, which did not come before this one.
        """
        running, self._running = self._running, None
        if running is None:
            return
        if self._is_wrapped:
            is_half_applied = has_written(session)
            if is_half_applied:
                self.notes.match_interrupted("")
                self.notes.write_committed(session, self._statement)
            execute_raw(session, "COMMIT")
            self._is_wrapped = False
            if is_half_applied:
                self.notes.add(self._statement, is_half_applied=True)
            return
        # The note of a lone statement of which the catalogue tells says no more than that it was begun.
        is_excused = self._index is not None and self._index.excuses
        is_lone = running.kind == "verifiable" and self._is_first and (self.notes.is_noted or is_excused)
        is_half_applied = not is_lone and (running.kind != "repeatable" or self.notes.is_noted)
        if is_half_applied:
            self.notes.write_committed(session, self._statement)
        self.notes.add(self._statement, is_half_applied=is_half_applied)

    def undo_for_resend(self, session: Any) -> bool:
        """Take back a statement that got no lock, so that it can be sent again; whether that is certain."""
        if self._is_wrapped:
            execute_raw(session, "ROLLBACK")
            execute_raw(session, "BEGIN")
            return True
        # What works CONCURRENTLY may have left an index, of which the next run takes care.
        return self._running is not None and self._running.kind == "repeatable" and self._index is None

    def failed(self, session: Any) -> None:
        """A statement has failed, and the session is still there."""
        running, self._running = self._running, None
        self.notes.forget_commit()
        with suppress(Exception):
            if self._is_wrapped:
                execute_raw(session, "ROLLBACK")
            elif running is not None and self.notes.is_noted and not running.may_commit:
                self.notes.failed(session)
        self._is_wrapped = False

    def clean(self) -> list[str]:
        """Take away what a statement that failed has left; what could not be taken away."""
        index, self._index = self._index, None
        if index is None:
            return []
        if index.kind != "drop":
            return self._indexes.clean(index)
        with suppress(psycopg.Error):
            if self._indexes.is_invalid(index):
                return [f"invalid index {index.named}, which the next try drops"]
        return []
