"""The statements of the running application, prepared and planned on a schema.

PostgreSQL itself is asked: each statement that production's statistics show is prepared and planned; nothing is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrations.disclosure.server_messages import safe_message
from migrations.rehearsal.compatibility.observed_statements import ProductionStatement

GENERIC_PLAN_SINCE = 160000

# Source: pg_prepared_statements has result_types since PostgreSQL 16.
_PREPARED = """
SELECT ARRAY(SELECT format_type(t.oid, NULL) FROM unnest(parameter_types) WITH ORDINALITY p(type, n)
             JOIN pg_type t ON t.oid = p.type ORDER BY n),
       ARRAY(SELECT t.typcategory::text FROM unnest(parameter_types) WITH ORDINALITY p(type, n)
             JOIN pg_type t ON t.oid = p.type ORDER BY n),
       {results}
FROM pg_prepared_statements WHERE name = 'pilotage_look'
"""
_RESULTS = """
       ARRAY(SELECT format_type(t.oid, NULL) FROM unnest(result_types) WITH ORDINALITY p(type, n)
             JOIN pg_type t ON t.oid = p.type ORDER BY n)
"""


@dataclass(frozen=True)
class PreparedStatement:
    """A statement as the server prepared it on a schema.

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


def prepare_statements(
    connection: psycopg.Connection, statements: Iterable[ProductionStatement]
) -> dict[ProductionStatement, PreparedStatement]:
    """Ask a schema how it understands each statement; nothing is run.

    Args:
        connection: a session in autocommit.
        statements: those that can be prepared.

    Locks: AccessShareLock on what a statement names, for the moment.
    """
    version = connection.info.server_version
    return {statement: _prepared(connection, statement.prepared, version) for statement in statements}


def _prepared(connection: psycopg.Connection, query: str, version: int) -> PreparedStatement:
    generic = version >= GENERIC_PLAN_SINCE
    try:
        connection.execute(f"PREPARE pilotage_look AS {query}".encode())
    except psycopg.Error as error:
        return PreparedStatement(refusal=safe_message(error))
    try:
        asked = sql.SQL(_PREPARED).format(results=sql.SQL(_RESULTS if generic else "NULL::text[]"))
        row = connection.execute(asked).fetchone()
    finally:
        connection.execute("DEALLOCATE pilotage_look")
    if row is None:
        return PreparedStatement(refusal="it could not be prepared")
    cost, indexes = _plan(connection, query) if generic else (None, frozenset[str]())
    return PreparedStatement("", tuple(row[0]), tuple(row[1]), None if row[2] is None else tuple(row[2]), cost, indexes)


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
