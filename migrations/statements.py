"""The statements of the running application, and whether a changed schema still takes them.

PostgreSQL itself is asked: each statement that production's statistics show is prepared on the old schema and on the
new one. What the new one alone refuses, or understands otherwise, is what a release would break.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import postgast
import psycopg
from psycopg import sql

GENERIC_PLAN_SINCE = 160000
# A plan is named from this cost on, where it costs so many times what it did.
MUCH_WORSE, WORSE_WITHOUT_INDEX = 10.0, 1.5
WORTH_A_LOOK = 50.0

_STATEMENTS = """
SELECT s.query, sum(s.calls)::bigint FROM pg_stat_statements s
JOIN pg_roles r ON r.oid = s.userid
WHERE r.rolname = %(role)s AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY s.query ORDER BY 2 DESC, 1 LIMIT %(limit)s
"""
_REQUIRED = """
SELECT n.nspname, c.relname, a.attname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
"""
_PREPARED = """
SELECT parameter_types::oid[]::text[],
       ARRAY(SELECT format_type(t.oid, NULL) FROM unnest(parameter_types) WITH ORDINALITY p(type, n)
             JOIN pg_type t ON t.oid = p.type ORDER BY n),
       ARRAY(SELECT t.typcategory::text FROM unnest(parameter_types) WITH ORDINALITY p(type, n)
             JOIN pg_type t ON t.oid = p.type ORDER BY n),
       {results}
FROM pg_prepared_statements WHERE name = 'pilotage_look'
"""
# Source: pg_prepared_statements has result_types since PostgreSQL 16.
_RESULTS = """
       ARRAY(SELECT format_type(t.oid, NULL) FROM unnest(result_types) WITH ORDINALITY p(type, n)
             JOIN pg_type t ON t.oid = p.type ORDER BY n)
"""
# Utility statements are not planned; these ones an application may send.
_PLANNED = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})

Trouble = Literal["refused", "required column", "parameter type", "result columns"]


@dataclass(frozen=True)
class ProductionStatement:
    """A statement that the application sends, as pg_stat_statements keeps it.

    Attributes:
        query: its text, constants as $1, $2, …
        calls: how often it was sent since the statistics were reset.
    """

    query: str
    calls: int


@dataclass(frozen=True, order=True)
class Column:
    """A column, with its table."""

    schema: str
    table: str
    name: str


@dataclass(frozen=True)
class Understanding:
    """How a schema understands a statement.

    Attributes:
        refusal: why it is refused; empty where it is taken.
        parameters: type of each parameter.
        categories: category of each parameter's type, as pg_type has it.
        results: type of each result column; None where the server does not tell (PostgreSQL 15).
        cost: the planner's total cost of its generic plan; None where it cannot be planned without values.
        indexes: indexes that the plan uses.
    """

    refusal: str = ""
    parameters: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    results: tuple[str, ...] | None = None
    cost: float | None = None
    indexes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Broken:
    """A statement that the new schema does not take as the old one did.

    Attributes:
        statement: the application's statement.
        trouble: what is wrong.
        reason: in words, with names.
    """

    statement: ProductionStatement
    trouble: Trouble
    reason: str


@dataclass(frozen=True)
class Compatibility:
    """What a changed schema means for the running application.

    Attributes:
        looked_at: how many statements were tried.
        broken: those that it would break.
        unknown: those that neither schema takes as they were kept, so that nothing can be told of them.
        worse: those whose plan became much worse, with the reason.
        plans_compared: False where the server cannot plan without values (before PostgreSQL 16).
    """

    looked_at: int
    broken: tuple[Broken, ...]
    unknown: tuple[ProductionStatement, ...]
    worse: tuple[tuple[ProductionStatement, str], ...] = ()
    plans_compared: bool = True


def application_statements(
    connection: psycopg.Connection, role: str, *, limit: int = 2000
) -> tuple[ProductionStatement, ...] | None:
    """The statements that a role sends, most frequent first.

    Args:
        connection: a session on production that may read pg_stat_statements of others.
        role: the application's role.
        limit: at most so many.

    Returns:
        The statements; None where the server keeps no such statistics.

    Locks: none.
    """
    there = connection.execute("SELECT to_regclass('pg_stat_statements') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return None
    try:
        with connection.transaction():
            rows = connection.execute(_STATEMENTS, {"role": role, "limit": limit}).fetchall()
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return None
    return tuple(
        ProductionStatement(str(query), int(calls))
        for query, calls in rows
        if str(query) != "<insufficient privilege>" and is_planned(str(query))
    )


def is_planned(query: str) -> bool:
    """Whether PostgreSQL plans such a statement, so that it can be prepared."""
    try:
        statements = postgast.parse(query).stmts
    except postgast.PgQueryError:
        # Constants are kept as $1 where the grammar has none: the server will say the same of both schemas.
        return query.lstrip().split(maxsplit=1)[0].lower() in {"select", "insert", "update", "delete", "merge", "with"}
    return len(statements) == 1 and statements[0].stmt.WhichOneof("node") in _PLANNED


def understand(
    connection: psycopg.Connection, statements: Iterable[ProductionStatement]
) -> dict[ProductionStatement, Understanding]:
    """Ask a schema how it understands each statement; nothing is run.

    Args:
        connection: a session in autocommit.

    Locks: AccessShareLock on what a statement names, for the moment.
    """
    version = connection.info.server_version
    return {statement: _understood(connection, statement.query, version) for statement in statements}


def _understood(connection: psycopg.Connection, query: str, version: int) -> Understanding:
    generic = version >= GENERIC_PLAN_SINCE
    try:
        connection.execute(f"PREPARE pilotage_look AS {query}".encode())
    except psycopg.Error as error:
        return Understanding(refusal=error.diag.message_primary or str(error))
    try:
        asked = sql.SQL(_PREPARED).format(results=sql.SQL(_RESULTS if generic else "NULL::text[]"))
        row = connection.execute(asked).fetchone()
    finally:
        connection.execute("DEALLOCATE pilotage_look")
    if row is None:
        return Understanding(refusal="it could not be prepared")
    cost, indexes = _plan(connection, query) if generic else (None, frozenset[str]())
    return Understanding("", tuple(row[1]), tuple(row[2]), None if row[3] is None else tuple(row[3]), cost, indexes)


def _plan(connection: psycopg.Connection, query: str) -> tuple[float | None, frozenset[str]]:
    try:
        row = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {query}".encode(), prepare=False).fetchone()
    except psycopg.Error:
        return None, frozenset()
    if row is None:
        return None, frozenset()
    explained: Any = row[0] if not isinstance(row[0], str) else json.loads(row[0])
    plan = explained[0]["Plan"]
    return float(plan["Total Cost"]), frozenset(_indexes(plan))


def _indexes(plan: Mapping[str, Any]) -> Iterable[str]:
    if name := plan.get("Index Name"):
        yield str(name)
    for below in plan.get("Plans", ()):
        yield from _indexes(below)


def required_columns(connection: psycopg.Connection) -> frozenset[Column]:
    """Columns that an INSERT must give a value.

    Locks: none beyond the system catalogues.
    """
    rows = connection.execute(_REQUIRED)
    return frozenset(Column(str(schema), str(table), str(name)) for schema, table, name in rows)


def compare(
    before: Mapping[ProductionStatement, Understanding],
    after: Mapping[ProductionStatement, Understanding],
    newly_required: Iterable[Column],
    *,
    plans_compared: bool = True,
) -> Compatibility:
    """Find what the new schema does not take as the old one did.

    Args:
        before: how the old schema understands each statement.
        after: how the new one does.
        newly_required: columns that an INSERT must give now and needed not before.
        plans_compared: whether the server could plan without values.
    """
    required = tuple(newly_required)
    broken: list[Broken] = []
    unknown: list[ProductionStatement] = []
    worse: list[tuple[ProductionStatement, str]] = []
    for statement, was in before.items():
        now = after[statement]
        if was.refusal:
            unknown.append(statement)
        elif trouble := _trouble(statement, was, now, required):
            broken.append(trouble)
        elif reason := _worse(was, now):
            worse.append((statement, reason))
    return Compatibility(len(before), tuple(broken), tuple(unknown), tuple(worse), plans_compared)


def _trouble(
    statement: ProductionStatement, was: Understanding, now: Understanding, required: Sequence[Column]
) -> Broken | None:
    if now.refusal:
        return Broken(statement, "refused", now.refusal)
    if missing := _missing(statement.query, required):
        return Broken(statement, "required column", f"it gives no value to {', '.join(missing)}, which needs one now")
    for number, (old, new) in enumerate(zip(was.categories, now.categories, strict=False)):
        if old != new:
            changed = f"parameter ${number + 1} was {was.parameters[number]} and is {now.parameters[number]} now"
            return Broken(statement, "parameter type", changed)
    if was.results is not None and now.results is not None and was.results != now.results:
        reason = f"it gave ({', '.join(was.results)}) and gives ({', '.join(now.results)}) now"
        if len(was.results) != len(now.results):
            reason += ": a client that has prepared it fails; name the columns instead of *"
        return Broken(statement, "result columns", reason)
    return None


def _missing(query: str, required: Sequence[Column]) -> list[str]:
    """Columns that an INSERT must give a value and does not, as `table.column`."""
    if not required:
        return []
    try:
        tree = postgast.parse(query)
    except postgast.PgQueryError:
        return []
    inserts: Iterable[Any] = postgast.find_nodes(tree, cast("type[Any]", postgast.pg_query_pb2.InsertStmt))
    return [
        f"{column.table}.{column.name}"
        for insert in inserts
        for column in required
        # Without a list of columns the values are for those that were there when it was written.
        if (insert.relation.schemaname or "public", insert.relation.relname) == (column.schema, column.table)
        and column.name not in {given.res_target.name for given in insert.cols}
    ]


def _worse(was: Understanding, now: Understanding) -> str:
    """Why a plan is much worse now; empty where it is not."""
    if was.cost is None or now.cost is None or now.cost < WORTH_A_LOOK:
        return ""
    unused = sorted(was.indexes - now.indexes)
    if now.cost < was.cost * (WORSE_WITHOUT_INDEX if unused else MUCH_WORSE):
        return ""
    lost = f"; it no longer uses {', '.join(unused)}" if unused else ""
    return f"its plan costs {now.cost:.0f} and cost {was.cost:.0f}{lost}"
