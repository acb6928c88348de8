"""The database as it stands before a statement: as it was at first, changed by the statements so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from migrations.sql.database_context import DatabaseContext, Table
from migrations.sql.locking import HeldLock
from migrations.sql.names import Name
from migrations.sql.objects import Object
from migrations.sql.statements import Statement


@dataclass
class OpenTransaction:
    """What the transaction that runs has done so far.

    Attributes:
        number: its number, as its caller has it; None outside of one.
        serial: how many there were before, in all of the history.
        locks: the locks that it holds, with the statement that took each.
        enum_values: labels that it added, by type.
        types: enum types that it made.
        lock_timeout: whether it set a lock_timeout of its own, or took it away; None where it did neither.
    """

    number: int | None = None
    serial: int = 0
    locks: list[tuple[HeldLock, Statement]] = field(default_factory=list[tuple[HeldLock, Statement]])
    enum_values: set[tuple[Name, str]] = field(default_factory=set[tuple[Name, str]])
    types: set[Name] = field(default_factory=set[Name])
    lock_timeout: bool | None = None


class DatabaseState:
    """The database as it stands before a statement.

    Attributes:
        step_statements: all statements of the step that runs.
        index_builds: all statements of the history that build an index, later ones included.
        objects: objects other than tables, as far as the statements so far tell.
    """

    def __init__(self, context: DatabaseContext) -> None:
        self.context = context
        self.tables: dict[Name, Table] = dict(context.tables)
        self.enums: dict[Name, tuple[str, ...]] = dict(context.enums)
        self.domains: dict[Name, bool] = dict(context.domains)
        self.objects: set[Object] = set()
        self.transaction = OpenTransaction()
        self.session_lock_timeout = context.lock_timeout_set
        self.dropped_indexes: set[Name] = set()
        self.step_statements: tuple[Statement, ...] = ()
        self.index_builds: tuple[Statement, ...] = ()
        self._step: tuple[str, str] | None = None

    def advance_to(self, statement: Statement, step: tuple[Statement, ...]) -> None:
        """Move on to a statement; a new transaction holds no locks, and the next step finds a new table as an old one.

        Args:
            statement: the statement.
            step: all statements that are released with it.
        """
        self.step_statements = step
        if statement.origin.step != self._step:
            self._step = statement.origin.step
            self.session_lock_timeout = self.context.lock_timeout_set
            self.dropped_indexes = set()
            self.transaction = OpenTransaction(statement.transaction, self.transaction.serial + 1)
            if not self.context.one_plan:
                for name in [name for name, one in self.tables.items() if one.is_new]:
                    self.tables[name] = replace(self.tables[name], is_new=False)
        elif statement.transaction != self.transaction.number or statement.transaction is None:
            self.transaction = OpenTransaction(statement.transaction, self.transaction.serial + 1)

    def table(self, name: Name) -> Table:
        """What is known of a table."""
        return self.tables.get(name) or Table(name)

    def is_live(self, name: Name) -> bool:
        """Whether a table stood before the plan, so that the application uses it."""
        return not self.table(name).is_new

    def is_large(self, name: Name) -> bool:
        """Whether a table is so large that what reads or writes all of it takes long; it is, where it is not known."""
        table, limits = self.table(name), self.context.thresholds
        if table.is_new:
            return False
        if table.rows is None and table.size_bytes is None:
            return True
        return (table.rows or 0) >= limits.rows or (table.size_bytes or 0) >= limits.size_bytes

    def is_hot(self, name: Name) -> bool:
        """Whether the application writes to a table, or names it, often; it does, where it is not known."""
        table, limits = self.table(name), self.context.thresholds
        if table.is_new:
            return False
        if table.writes is None and table.calls is None:
            return True
        return (table.writes or 0) >= limits.writes or (table.calls or 0) >= limits.calls

    def has_lock_timeout(self) -> bool:
        """Whether the next statement waits for its lock a limited time."""
        own = self.transaction.lock_timeout
        return self.session_lock_timeout if own is None else own

    def referencing(self, name: Name) -> Iterator[Table]:
        """The tables with a foreign key to a table."""
        for one in self.tables.values():
            if any(constraint.references == name for constraint in one.constraints):
                yield one
