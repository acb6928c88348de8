"""The tables that an open transaction has locked against everybody, as far as its statements tell."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from migrations.database.requested_locks import locks_requested_by
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
