"""What a schema requires of whoever writes to it, and what it lets a role do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from migrations.rehearsal.compatibility._requirement_queries import (
    COLUMNS,
    CONSTRAINTS,
    PRIVILEGES,
    ROW_SECURITY,
    THERE,
)

_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}

Table = tuple[str, str]
"""A table: its schema and its name."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        type: its type, with its length.
        not_null: whether it must hold something.
        filled: whether a row that gives it nothing gets something, or it is computed.
        has_default: whether that is a default or an identity.
    """

    type: str
    not_null: bool
    filled: bool
    has_default: bool


@dataclass(frozen=True)
class Rule:
    """What the rows of a table have to satisfy, or what is done with each.

    Attributes:
        text: as PostgreSQL writes it.
        kind: `c` check, `f` foreign key, `x` exclusion, `u` unique over plain columns, `u?` another
            unique, `t` trigger.
        nulls_alike: whether two NULLs are the same to a unique index.
        columns: the columns that it is about; empty where it may be about any.
    """

    text: str
    kind: str
    nulls_alike: bool
    columns: frozenset[str]


@dataclass(frozen=True)
class Requirements:
    """What a schema requires and allows.

    Attributes:
        columns: of each table, by name.
        rules: of each table.
        role_known: whether the role is there.
        allowed: what the role may do: table, column (empty for all), privilege.
        filtered: tables where row-level security holds for the role: the commands that some policy lets it do, and the
            policies as text.
    """

    columns: Mapping[Table, Mapping[str, Column]]
    rules: Mapping[Table, frozenset[Rule]]
    role_known: bool
    allowed: frozenset[tuple[Table, str, str]]
    filtered: Mapping[Table, tuple[frozenset[str], str]]


def read_requirements(connection: psycopg.Connection, role: str) -> Requirements:
    """Read what a schema requires of whoever writes, and what it lets a role do.

    Args:
        connection: any session of the database.
        role: the role.

    Locks: none beyond the system catalogues.
    """
    columns: dict[Table, dict[str, Column]] = {}
    for schema, table, name, type_, not_null, default, generated in connection.execute(COLUMNS):
        column = Column(str(type_), bool(not_null), bool(default or generated), bool(default))
        columns.setdefault((str(schema), str(table)), {})[str(name)] = column
    rules: dict[Table, set[Rule]] = {}
    for schema, table, text, kind, nulls, about in connection.execute(_constraints(connection)):
        rule = Rule(str(text), str(kind), nulls == "true", frozenset(map(str, about)))
        rules.setdefault((str(schema), str(table)), set()).add(rule)
    known = connection.execute(THERE, {"role": role}).fetchone() is not None
    allowed: set[tuple[Table, str, str]] = set()
    filtered: dict[Table, tuple[frozenset[str], str]] = {}
    if known:
        for schema, table, name, privilege in connection.execute(PRIVILEGES, {"role": role}):
            allowed.add(((str(schema), str(table)), str(name), str(privilege)))
        for schema, table, commands, policies in connection.execute(ROW_SECURITY, {"role": role}):
            filtered[str(schema), str(table)] = (_commands(commands), str(policies))
    frozen = {table: frozenset(found) for table, found in rules.items()}
    return Requirements(columns, frozen, known, frozenset(allowed), filtered)


def _constraints(connection: psycopg.Connection) -> bytes:
    # Source: indnullsnotdistinct is there since PostgreSQL 15.
    there = connection.info.server_version >= 150000
    return (CONSTRAINTS if there else CONSTRAINTS.replace("i.indnullsnotdistinct::text", "''")).encode()


def _commands(found: list[str] | None) -> frozenset[str]:
    given = set(found or ())
    return frozenset(_COMMANDS.values()) if "*" in given else frozenset(_COMMANDS[one] for one in given)
