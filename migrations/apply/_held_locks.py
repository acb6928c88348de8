"""What an open transaction has locked, as far as its statements tell."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from migrations.database.requested_locks import RequestedLocks, locks_requested_by
from migrations.database.trace import Lock
from migrations.history.revision_transactions import begins_savepoint


@dataclass
class _Tables:
    locked: set[str] = field(default_factory=set[str])
    looked_at: set[str] = field(default_factory=set[str])


class ExclusiveTables:
    """Tells which tables a transaction has to look at before a statement, since nobody else can: each of them once."""

    def __init__(self) -> None:
        self._of: dict[int, _Tables] = {}

    def to_look_at(self, session: object, statement: str, created: Set[str]) -> frozenset[str]:
        """The tables to look at before a statement, which is noted with what it locks.

        Args:
            session: the driver's connection, in the transaction.
            statement: what is about to be sent.
            created: the tables that the transaction has made, which nobody else has written to.
        """
        tables = self._of.setdefault(id(session), _Tables())
        locks = locks_requested_by(statement).locks
        # What is looked at within a savepoint would be gone with it.
        written = {lock.relation for lock in locks if lock.mode == "RowExclusiveLock"}
        due = tables.locked if begins_savepoint(statement) else tables.locked & written
        found = frozenset(due - tables.looked_at - created)
        tables.looked_at |= found
        tables.locked |= {lock.relation for lock in locks if lock.stops_reads}
        return found

    def forget(self, session: object) -> None:
        """The transaction has ended."""
        self._of.pop(id(session), None)

    def clear(self) -> None:
        """Forget all sessions."""
        self._of.clear()


class GrantedLocks:
    """Tells whether a statement asks for nothing that its transaction does not hold already: then it waits for nobody.

    A lock that is held is granted again at once; one that stops writes keeps partitions and heirs from being attached.
    """

    def __init__(self) -> None:
        self._of: dict[int, set[Lock]] = {}

    def note(self, session: object, requested: RequestedLocks) -> None:
        """A statement was done in the transaction of a session.

        Args:
            session: the driver's connection.
            requested: what the statement asked for.
        """
        if requested.atomic:
            self._of.setdefault(id(session), set()).update(lock for lock in requested.locks if lock.stops_writes)
        else:
            # It may have set what names lead to, or have gone back to a savepoint.
            self._of.pop(id(session), None)

    def cover(self, session: object, requested: RequestedLocks) -> bool:
        """Whether the transaction of a session holds all that a statement asks for."""
        return not requested.locks_referencing and self._of.get(id(session), set()).issuperset(requested.locks)

    def clear(self) -> None:
        """A transaction has ended, or has gone back to a savepoint."""
        self._of.clear()
