"""The statements of a body in PL/pgSQL or SQL, with what its variables can hold where that is written down in it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import postgast

from migrations.sql._dynamic_text import columns, elements, expression, is_sql, possible, texts
from migrations.sql.names import quoted
from migrations.sql.routines import Routine

_LOOPS = frozenset(f"PLpgSQL_stmt_{kind}" for kind in ("loop", "while", "fori", "fors", "forc", "foreach_a", "dynfors"))
_STATIC = {
    "PLpgSQL_stmt_execsql": "sqlstmt",
    "PLpgSQL_stmt_perform": "expr",
    "PLpgSQL_stmt_call": "expr",
    "PLpgSQL_stmt_fors": "query",
    "PLpgSQL_stmt_return_query": "query",
}
_DYNAMIC = {"PLpgSQL_stmt_dynexecute": "query", "PLpgSQL_stmt_dynfors": "query"}
# Expressions that are computed by a query of their own.
_COMPUTED = {
    "PLpgSQL_stmt_assign": "expr",
    "PLpgSQL_stmt_if": "cond",
    "PLpgSQL_if_elsif": "cond",
    "PLpgSQL_stmt_while": "cond",
    "PLpgSQL_stmt_exit": "cond",
    "PLpgSQL_stmt_return": "expr",
    "PLpgSQL_stmt_return_next": "expr",
}
# What a body may say depends on what it returns.
_SHAPES = (
    "FUNCTION b({}) RETURNS SETOF record",
    "FUNCTION b({}) RETURNS text",
    "FUNCTION b() RETURNS trigger",
    "PROCEDURE b({})",
)
# CALL and DO have one kind.
_ENDS_TRANSACTIONS = frozenset({"PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback", "PLpgSQL_stmt_call"})
_ASSIGNED = re.compile(r"[^=:]*:?=")

Json = Mapping[str, Any]
Values = dict[str, list[str] | None]


@dataclass(frozen=True)
class BodyStatement:
    """SQL inside a block.

    Attributes:
        sql: the statement; where it is dynamic, the expression that makes it.
        line: lines between the beginning of the block's text and its own.
        within: what holds it.
        looped: whether it runs in a loop.
        batched: whether it runs in a loop that commits.
        dynamic: whether its text cannot be known.
    """

    sql: str
    line: int
    within: str
    looped: bool = False
    batched: bool = False
    dynamic: bool = False


def statements_of_body(called: Routine, given: Mapping[str, list[str] | None], within: str) -> Iterator[BodyStatement]:
    """The SQL that a body runs.

    Args:
        called: the body.
        given: what its parameters can hold.
        within: what it is to be called.
    """
    if called.language == "sql":
        yield BodyStatement(called.source, 0, within)
    elif called.language == "plpgsql":
        yield from _of_plpgsql(called, given, within)
    else:
        yield BodyStatement(f"{within} in {called.language}", 0, within, dynamic=True)


def _of_plpgsql(called: Routine, given: Mapping[str, list[str] | None], within: str) -> Iterator[BodyStatement]:
    source = called.source
    tag = _tag_beside(source)
    parameters = ", ".join(f"{quoted(one.name)} text".strip() for one in called.parameters if one.name)
    for shape in _SHAPES:
        try:
            parsed = postgast.parse_plpgsql(f"CREATE {shape.format(parameters)} LANGUAGE plpgsql AS {tag}{source}{tag}")
        except (postgast.PgQueryError, json.JSONDecodeError):
            continue
        for one in parsed:
            yield from _Block(within, one, dict(given)).statements(one, looped=False, batched=False)
        return
    yield BodyStatement(f"the body of {within}", 0, within, dynamic=True)


@dataclass
class _Block:
    """A parsed block.

    Attributes:
        within: what it is to be called.
        tree: as PL/pgSQL's own parser has it.
        values: what its variables can hold; None where only the run knows.
    """

    within: str
    tree: Json
    values: Values = field(default_factory=dict[str, "list[str] | None"])

    def __post_init__(self) -> None:
        names: dict[int, str] = {}
        for kind, one in _nodes(self.tree):
            if kind == "PLpgSQL_function":
                for number, datum in enumerate(cast("list[Json]", one.get("datums", []))):
                    variable = cast("Json", datum.get("PLpgSQL_var", {}))
                    names[number] = str(variable.get("refname", ""))
                    self._hold(names[number], _query(variable, "default_val"))
        for kind, one in _nodes(self.tree):
            if kind == "PLpgSQL_stmt_assign":
                self._hold(names.get(int(one.get("varno", -1)), ""), _ASSIGNED.sub("", _query(one, "expr"), count=1))
            elif kind == "PLpgSQL_stmt_foreach_a":
                each = elements(expression(_query(one, "expr")), self.values)
                self._add(names.get(int(one.get("varno", -1)), ""), each)
            elif kind == "PLpgSQL_stmt_fors":
                self._hold_rows(cast("Json", one.get("var") or {}), _query(one, "query"))
            elif kind == "PLpgSQL_stmt_execsql" and one.get("into"):
                self._hold_rows(cast("Json", one.get("target") or {}), _query(one, "sqlstmt"))
            elif kind in {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"}:
                self._hold_rows(cast("Json", one.get("target") or one.get("var") or {}), "")

    def _hold(self, name: str, text: str) -> None:
        if name and text:
            self._add(name, texts(expression(text), self.values))

    def _hold_rows(self, target: Json, query: str) -> None:
        """Keep what a query puts into a row of variables, or into a record."""
        found = columns(query, self.values) or ()
        row, record = cast("Json", target.get("PLpgSQL_row") or {}), cast("Json", target.get("PLpgSQL_rec") or {})
        fields = [str(one.get("name", "")) for one in cast("list[Json]", row.get("fields", []))]
        for number, name in enumerate(fields):
            self._add(name, found[number][1] if number < len(found) else None)
        for column, each in found:
            self._add(f"{record['refname']}.{column}" if record else "", each)

    def _add(self, name: str, found: list[str] | None) -> None:
        if name:
            before = self.values.get(name, [])
            self.values[name] = None if found is None or before is None else list(dict.fromkeys([*before, *found]))

    def statements(self, tree: object, *, looped: bool, batched: bool) -> Iterator[BodyStatement]:
        """Every statement below, in order."""
        if isinstance(tree, list):
            for one in cast("list[object]", tree):
                yield from self.statements(one, looped=looped, batched=batched)
        elif isinstance(tree, dict):
            for kind, one in cast("Json", tree).items():
                if isinstance(one, dict):
                    yield from self._of(kind, cast("Json", one), looped=looped, batched=batched)
                if isinstance(one, dict | list):
                    loop = kind in _LOOPS
                    commits = loop and _commits(cast("Json", one))
                    yield from self.statements(cast("object", one), looped=looped or loop, batched=batched or commits)

    def _of(self, kind: str, one: Json, *, looped: bool, batched: bool) -> Iterator[BodyStatement]:
        line = max(int(one.get("lineno", 1)) - 1, 0)
        if kind in _STATIC and (sql := _query(one, _STATIC[kind])):
            yield BodyStatement(sql, line, self.within, looped, batched)
        elif kind in _COMPUTED:
            text = _query(one, _COMPUTED[kind])
            text = _ASSIGNED.sub("", text, count=1) if kind == "PLpgSQL_stmt_assign" else text
            # Without a call or a subquery nothing happens beside it.
            if "(" in text and is_sql(f"SELECT {text}"):
                yield BodyStatement(f"SELECT {text.strip()}", line, self.within, looped, batched)
        elif kind in _DYNAMIC or (kind == "PLpgSQL_stmt_return_query" and "dynquery" in one):
            text = _query(one, _DYNAMIC.get(kind, "dynquery"))
            found = possible(expression(text), self.values)
            # A text that is put together in steps is no SQL before the last one.
            whole = [each for each in found or [] if is_sql(each)] or found
            for each in whole or []:
                yield BodyStatement(each, line, self.within, looped, batched)
            if found is None:
                yield BodyStatement(text, line, self.within, looped, batched, dynamic=True)


def _query(one: Json, key: str) -> str:
    held = cast("Json", one.get(key) or {})
    return str(cast("Json", held.get("PLpgSQL_expr") or {}).get("query", ""))


def _nodes(tree: object) -> Iterator[tuple[str, Json]]:
    if isinstance(tree, list):
        for one in cast("list[object]", tree):
            yield from _nodes(one)
    elif isinstance(tree, dict):
        for kind, one in cast("Json", tree).items():
            if isinstance(one, dict):
                yield kind, cast("Json", one)
            yield from _nodes(cast("object", one))


def may_end_transactions(block: Routine) -> bool:
    """Whether a DO block may end a transaction in its midst: by COMMIT or ROLLBACK, or in what it calls.

    What cannot be read may. Source: PL/pgSQL refuses COMMIT in functions and in EXECUTE, and allows it in CALL and DO.
    """
    if block.language != "plpgsql":
        return True
    tag = _tag_beside(block.source)
    try:
        parsed = postgast.parse_plpgsql(f"CREATE PROCEDURE b() LANGUAGE plpgsql AS {tag}{block.source}{tag}")
    except (postgast.PgQueryError, json.JSONDecodeError):
        return True
    return any(kind in _ENDS_TRANSACTIONS for kind, _ in _nodes(parsed))


def _tag_beside(source: str) -> str:
    """A dollar quote that a text does not hold."""
    return next(f"$b{number}$" for number in itertools.count() if f"$b{number}$" not in source)


def _commits(tree: Json) -> bool:
    return any(kind == "PLpgSQL_stmt_commit" for kind, _ in _nodes(tree))
