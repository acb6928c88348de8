"""What a live database says of itself: tables and their size, constraints, indexes, keys, traffic."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import postgast
import psycopg
from postgast import nodes

from migrations.database.session import reader
from migrations.lint import _live_queries
from migrations.lint._usage import words
from migrations.sql.alterations import not_null_columns
from migrations.sql.database_context import (
    Column,
    ConstraintKind,
    DatabaseContext,
    ObservedStatement,
    RelationKind,
    SequencePosition,
    Table,
    TableConstraint,
    TableIndex,
    Thresholds,
)
from migrations.sql.names import Name, SqlType
from migrations.sql.routines import Parameter, Routine

log = logging.getLogger(__name__)

_RELATIONS: Mapping[str, RelationKind] = {"p": "partitioned", "v": "view", "m": "materialized view"}
_KINDS: Mapping[str, ConstraintKind] = {
    "c": "check",
    "f": "foreign key",
    "u": "unique",
    "p": "primary key",
    "x": "exclude",
    "n": "not null",
}


def read_context(dsn: str, thresholds: Thresholds | None = None) -> DatabaseContext:
    """Look at a database.

    Args:
        dsn: direct connection string of a role that may read the catalogue.
        thresholds: from when on a table is large.

    Raises:
        DatabaseUnreachable, DatabaseRefused: it cannot be looked at.

    Locks: AccessShareLock on catalogues, and for a moment on each table, to measure it; five seconds are waited for it.
    """
    with reader(dsn) as session:
        session.execute("SET LOCAL lock_timeout = '5s'")
        statements = _statements(session)
        return DatabaseContext(
            tables=_with_traffic(_tables(session), statements),
            complete=True,
            enums={Name.of(one[1], one[0]): tuple(one[2]) for one in _rows(session, _live_queries.ENUMS)},
            domains={Name.of(one[1], one[0]): bool(one[2]) for one in _rows(session, _live_queries.DOMAINS)},
            sequences=tuple(
                SequencePosition(Name.of(table, schema), column, type_, last, largest)
                for schema, table, column, type_, last, largest in _rows(session, _live_queries.SEQUENCES)
            ),
            statements=statements,
            functions={Name.of(one[1], one[0]): _routine(*one[2:]) for one in _rows(session, _live_queries.FUNCTIONS)},
            non_volatile_functions=frozenset(
                str(one[0]) for one in _rows(session, _live_queries.NON_VOLATILE_FUNCTIONS)
            ),
            server_version=session.info.server_version // 10_000,
            thresholds=thresholds or Thresholds(),
        )


def _routine(language: str, source: str, parameters: Sequence[str]) -> Routine:
    return Routine(language, source, tuple(Parameter(one) for one in parameters))


def _rows(session: psycopg.Connection, query: str) -> Iterable[Sequence[Any]]:
    return session.execute(query.encode())


def _tables(session: psycopg.Connection) -> dict[Name, Table]:
    tables: dict[Name, Table] = {}
    for schema, name, kind, secured, rows, size, writes, policies in _rows(session, _live_queries.TABLES):
        table = Name.of(name, schema)
        tables[table] = Table(
            table,
            complete=True,
            rows=rows,
            size_bytes=size,
            writes=writes,
            kind=_RELATIONS.get(kind, "table"),
            row_security=secured,
            policies=frozenset(policies),
        )
    columns, constraints, indexes = _columns(session), _constraints(session), _indexes(session)
    return {
        name: replace(
            table,
            columns={one.name: one for one in columns.get(name, ())},
            constraints=tuple(constraints.get(name, ())),
            indexes={one.name: one for one in indexes.get(name, ())},
        )
        for name, table in tables.items()
    }


def _columns(session: psycopg.Connection) -> Mapping[Name, list[Column]]:
    types: dict[str, SqlType | None] = {}
    found: dict[Name, list[Column]] = {}
    for schema, table, name, type_, not_null, has_default, generated in _rows(session, _live_queries.COLUMNS):
        if type_ not in types:
            types[type_] = SqlType.named(type_)
        one = Column(name, types[type_], not_null=not_null, has_default=has_default, generated=generated)
        found.setdefault(Name.of(table, schema), []).append(one)
    return found


def _constraints(session: psycopg.Connection) -> Mapping[Name, list[TableConstraint]]:
    found: dict[Name, list[TableConstraint]] = {}
    rows = _rows(session, _live_queries.CONSTRAINTS)
    for schema, table, name, kind, validated, text, columns, other_schema, other in rows:
        one = TableConstraint(
            name,
            _KINDS[kind],
            tuple(columns),
            validated=validated,
            proves=tuple(columns) if kind == "n" else _proven(text) if kind == "c" else (),
            references=Name.of(other, other_schema) if other else None,
        )
        found.setdefault(Name.of(table, schema), []).append(one)
    return found


def _proven(definition: str) -> tuple[str, ...]:
    try:
        tree = postgast.wrap(postgast.parse(f"ALTER TABLE t ADD CONSTRAINT c {definition}"))
    except postgast.PgQueryError:
        return ()
    held = (one for _, one in postgast.walk_typed(tree) if isinstance(one, nodes.Constraint))
    return tuple(column for one in held for column in not_null_columns(one.raw_expr))


def _indexes(session: psycopg.Connection) -> Mapping[Name, list[TableIndex]]:
    found: dict[Name, list[TableIndex]] = {}
    for schema, table, name, unique, valid, partial, columns in _rows(session, _live_queries.INDEXES):
        one = TableIndex(name, tuple(columns), unique=unique, valid=valid, partial=partial)
        found.setdefault(Name.of(table, schema), []).append(one)
    return found


def _statements(session: psycopg.Connection) -> tuple[ObservedStatement, ...]:
    try:
        with session.transaction():
            there = session.execute(_live_queries.HAS_STATEMENTS.encode()).fetchone()
            if there is None or not there[0]:
                return ()
            return tuple(ObservedStatement(query, calls) for query, calls in _rows(session, _live_queries.STATEMENTS))
    except psycopg.Error as error:
        log.info("pg_stat_statements cannot be read (%s): what the application runs is not known", error)
        return ()


def _with_traffic(tables: Mapping[Name, Table], statements: Sequence[ObservedStatement]) -> dict[Name, Table]:
    if not statements:
        return dict(tables)
    calls: dict[str, int] = {}
    for one in statements:
        for word in words(one.query):
            calls[word] = calls.get(word, 0) + one.calls
    return {name: replace(table, calls=calls.get(name.name, 0)) for name, table in tables.items()}
