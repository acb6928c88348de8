"""What is known, before the first statement, of the database that statements will run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from migrations.sql.names import Name, SqlType
from migrations.sql.routines import Routine

RelationKind = Literal["table", "partitioned", "view", "materialized view"]
ConstraintKind = Literal["check", "foreign key", "unique", "primary key", "exclude", "not null"]


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: its name.
        type: its type; None where it cannot be told.
        not_null: whether it refuses NULL.
        has_default: whether a row may leave it out and still get a value.
        generated: whether its value is computed.
        made: whether the history makes it, and does not merely name one that was there.
    """

    name: str
    type: SqlType | None = None
    not_null: bool = False
    has_default: bool = False
    generated: bool = False
    made: bool = False


@dataclass(frozen=True)
class TableConstraint:
    """A constraint.

    Attributes:
        name: its name; empty where PostgreSQL chose it.
        kind: what it demands.
        columns: the columns that it is about.
        validated: whether every row was held against it.
        proves: columns that it proves to hold no NULL.
        text: its condition, as the parser writes it; empty where it has none.
        transaction: the transaction that added it, by its place in the history; None where it was there before.
        references: the table that a foreign key points at.
    """

    name: str
    kind: ConstraintKind
    columns: tuple[str, ...] = ()
    validated: bool = True
    proves: tuple[str, ...] = ()
    text: str = ""
    transaction: int | None = None
    references: Name | None = None


@dataclass(frozen=True)
class TableIndex:
    """An index; `valid` is False after CONCURRENTLY failed half-way."""

    name: str
    columns: tuple[str, ...] = ()
    unique: bool = False
    valid: bool = True
    partial: bool = False


@dataclass(frozen=True)
class Table:
    """A table, as far as it is known.

    Attributes:
        name: its name.
        columns: its columns by name.
        constraints: its constraints.
        indexes: its indexes by name.
        complete: whether all its columns, constraints and indexes are known.
        is_new: whether the plan makes it itself, so that nobody uses it yet.
        rows: about how many rows it has; None where it is not known.
        size_bytes: what it takes with its indexes; None where it is not known.
        writes: rows written since the statistics were reset; None where it is not known.
        calls: calls of statements that name it; None where it is not known.
        kind: a table, a view, or a materialized view; partitioned tables are told apart.
        row_security: whether row-level security is on.
        row_security_forced: whether it holds for the owner too.
        policies: names of its policies.
        temporary: whether it is one session's own, and goes with it.
    """

    name: Name
    columns: Mapping[str, Column] = field(default_factory=dict[str, Column])
    constraints: tuple[TableConstraint, ...] = ()
    indexes: Mapping[str, TableIndex] = field(default_factory=dict[str, TableIndex])
    complete: bool = False
    is_new: bool = False
    rows: int | None = None
    size_bytes: int | None = None
    writes: int | None = None
    calls: int | None = None
    kind: RelationKind = "table"
    row_security: bool = False
    row_security_forced: bool = False
    policies: frozenset[str] = frozenset()
    temporary: bool = False

    def proves_not_null(self, column: str) -> bool:
        """Whether a validated constraint proves that a column holds no NULL."""
        return any(one.validated and column in one.proves for one in self.constraints)


@dataclass(frozen=True)
class SequencePosition:
    """How far an integer key has come.

    Attributes:
        table: whose key it is.
        column: the column.
        type: the column's type.
        last: the last value given out.
        largest: the largest value that column and sequence allow.
    """

    table: Name
    column: str
    type: str
    last: int
    largest: int


@dataclass(frozen=True)
class ObservedStatement:
    """A statement that the application runs, as pg_stat_statements keeps it."""

    query: str
    calls: int


@dataclass(frozen=True)
class Thresholds:
    """From when on a table is large, or busy.

    Attributes:
        rows: rows from which on a table is large.
        size_bytes: bytes from which on a table is large, its indexes included.
        writes: rows written since the statistics were reset, from which on a table is hot.
        calls: calls of one statement since the statistics were reset, from which on its tables are hot.
        key_used: part of an integer key's range from which on it is about to run out.
    """

    rows: int = 10_000
    size_bytes: int = 10 * 1024 * 1024
    writes: int = 10_000
    calls: int = 10_000
    key_used: float = 0.6


@dataclass(frozen=True)
class DatabaseContext:
    """What is known before the first statement.

    Attributes:
        tables: tables by name.
        complete: whether these are all the tables there are.
        enums: labels of enum types.
        domains: domains, and whether they have constraints.
        sequences: how far integer keys have come.
        statements: what the application runs.
        functions: functions in PL/pgSQL or SQL.
        non_volatile_functions: functions that are not volatile, under any of their argument types.
        server_version: PostgreSQL's major version; None where it is not known.
        one_plan: whether all statements are released together, so that a table which one of them makes is new to all.
        lock_timeout_set: whether whoever runs the statements sets a lock_timeout, as `pilotage apply` does.
        thresholds: from when on a table is large.
    """

    tables: Mapping[Name, Table] = field(default_factory=dict[Name, Table])
    complete: bool = False
    enums: Mapping[Name, tuple[str, ...]] = field(default_factory=dict[Name, tuple[str, ...]])
    domains: Mapping[Name, bool] = field(default_factory=dict[Name, bool])
    sequences: tuple[SequencePosition, ...] = ()
    statements: tuple[ObservedStatement, ...] = ()
    functions: Mapping[Name, Routine] = field(default_factory=dict[Name, Routine])
    non_volatile_functions: frozenset[str] = frozenset()
    server_version: int | None = None
    one_plan: bool = False
    lock_timeout_set: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)
