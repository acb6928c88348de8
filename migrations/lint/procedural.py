"""What runs inside DO blocks and called functions, as far as it can be known without running it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.lint.dynamic_text import expression as parse_expression
from migrations.lint.dynamic_text import possible, texts
from migrations.lint.locking import option
from migrations.lint.names import Name, strings

COMMENTS = frozenset({int(pb.SQL_COMMENT), int(pb.C_COMMENT)})

_LOOPS = frozenset(f"PLpgSQL_stmt_{kind}" for kind in ("loop", "while", "fori", "fors", "forc", "foreach_a", "dynfors"))
_STATIC = {
    "PLpgSQL_stmt_execsql": "sqlstmt",
    "PLpgSQL_stmt_perform": "expr",
    "PLpgSQL_stmt_call": "expr",
    "PLpgSQL_stmt_fors": "query",
    "PLpgSQL_stmt_return_query": "query",
}
_DYNAMIC = {"PLpgSQL_stmt_dynexecute": "query", "PLpgSQL_stmt_dynfors": "query"}
_COMMIT = re.compile(r"(?:^|;|\b(?:THEN|LOOP|BEGIN|ELSE))\s*(?:COMMIT|ROLLBACK)\b[^;]*;", re.IGNORECASE | re.MULTILINE)
_ATOMIC = re.compile(r"\bBEGIN\s+ATOMIC\b(.*)\bEND\b", re.IGNORECASE | re.DOTALL)

_CHANGES = (nodes.UpdateStmt, nodes.DeleteStmt, nodes.InsertStmt, nodes.MergeStmt)
_WITH = (nodes.SelectStmt, *_CHANGES)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
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


def body(options: Sequence[AstNode], text: str = "") -> tuple[str, str] | None:
    """The language and the body of a function or of a DO block.

    Args:
        options: the options of the statement.
        text: the whole statement, where the body may be one of standard SQL.
    """
    language, source = "plpgsql", None
    for one in options:
        if not isinstance(one, nodes.DefElem) or one.arg is None:
            continue
        given = strings([one.arg])
        if one.defname == "language" and given:
            language = given[0].lower()
        elif one.defname == "as" and len(given) == 1:
            source = given[0]
    if source is None and (atomic := _ATOMIC.search(text)):
        return "sql", atomic.group(1)
    return None if source is None else (language, source)


def pieces(node: AstNode, functions: Mapping[Name, tuple[str, str]]) -> Iterator[Piece]:
    """The SQL that a statement runs beside its own: that of a DO block, or of functions that it calls."""
    if isinstance(node, nodes.DoStmt):
        found = body(node.args)
        if found is not None:
            yield from _of_body(*found, "a DO block")
    elif isinstance(node, nodes.SelectStmt | nodes.CallStmt):
        calls = (one for _, one in postgast.walk_typed(node) if isinstance(one, nodes.FuncCall))
        for name in sorted({Name.of_parts(one.funcname) for one in calls} & functions.keys()):
            yield from _of_body(*functions[name], f"function {name}")


def commits(node: AstNode) -> bool:
    """Whether a DO block ends transactions, which it may only outside of one.

    Source: COMMIT in a block raises "invalid transaction termination" inside a transaction.
    """
    found = body(node.args) if isinstance(node, nodes.DoStmt) else None
    return found is not None and _COMMIT.search(found[1]) is not None


def nested(node: AstNode) -> Iterator[tuple[AstNode, frozenset[str]]]:
    """The statements that one runs as parts of its own: those that change rows in WITH, and what EXPLAIN ANALYZE runs.

    Yields:
        Each with the names of the common table expressions beside it that end after a number of rows.
    """
    query = node.query if isinstance(node, nodes.ExplainStmt | nodes.PrepareStmt) else None
    if query is not None and (isinstance(node, nodes.PrepareStmt) or _analyzes(node)):
        yield query, frozenset()
        yield from nested(query)
    elif isinstance(node, _WITH) and node.with_clause is not None:
        for one in node.with_clause.ctes:
            if isinstance(one, nodes.CommonTableExpr) and isinstance(one.ctequery, _CHANGES):
                yield one.ctequery, limited_ctes(node.with_clause)


def _analyzes(node: AstNode) -> bool:
    return isinstance(node, nodes.ExplainStmt) and option(node.options, "analyze")


def limited_ctes(clause: nodes.WithClause | None) -> frozenset[str]:
    """The common table expressions that end after a number of rows."""
    found = [one for one in clause.ctes if isinstance(one, nodes.CommonTableExpr)] if clause is not None else []
    return frozenset(one.ctename for one in found if limited(one.ctequery))


def limited(node: AstNode | None) -> bool:
    """Whether a query ends after a number of rows: by LIMIT, or since it is a list of VALUES."""
    if isinstance(node, nodes.RangeSubselect):
        return limited(node.subquery)
    return isinstance(node, nodes.SelectStmt) and (node.limit_count is not None or bool(node.values_lists))


def _of_body(language: str, source: str, within: str) -> Iterator[Piece]:
    if language == "sql":
        yield Piece(source, 0, within)
    elif language == "plpgsql":
        yield from _of_plpgsql(source, within)
    else:
        yield Piece(f"{within} in {language}", 0, within, dynamic=True)


def _of_plpgsql(source: str, within: str) -> Iterator[Piece]:
    tag = next(f"$b{number}$" for number in itertools.count() if f"$b{number}$" not in source)
    for shape in ("FUNCTION b() RETURNS SETOF record", "FUNCTION b() RETURNS trigger", "PROCEDURE b()"):
        try:
            parsed = postgast.parse_plpgsql(f"CREATE {shape} LANGUAGE plpgsql AS {tag}{source}{tag}")
        except (postgast.PgQueryError, json.JSONDecodeError):
            continue
        for one in parsed:
            yield from _Block(within, one).statements(one, looped=False, batched=False)
        return
    yield Piece(f"the body of {within}", 0, within, dynamic=True)


@dataclass
class _Block:
    """A parsed block; it knows what its variables can hold where that is written down in it."""

    within: str
    tree: Json
    values: dict[str, list[str] | None] = field(default_factory=dict[str, "list[str] | None"])

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
                self._hold(names.get(int(one.get("varno", -1)), ""), _query(one, "expr").partition(":=")[2])
            elif kind == "PLpgSQL_stmt_foreach_a":
                self._hold(names.get(int(one.get("varno", -1)), ""), _query(one, "expr"), each=True)

    def _hold(self, name: str, expression: str, *, each: bool = False) -> None:
        if not name or not expression:
            return
        node = parse_expression(expression)
        found = self._elements(node) if each else texts(node, self.values)
        before = self.values.get(name, [])
        self.values[name] = None if found is None or before is None else [*before, *found]

    def _elements(self, node: AstNode | None) -> list[str] | None:
        if isinstance(node, nodes.TypeCast):
            return self._elements(node.arg)
        if not isinstance(node, nodes.A_ArrayExpr):
            return None
        each = [texts(one, self.values) for one in node.elements]
        return None if any(one is None for one in each) else [text for one in each for text in one or []]

    def statements(self, tree: object, *, looped: bool, batched: bool) -> Iterator[Piece]:
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

    def _of(self, kind: str, one: Json, *, looped: bool, batched: bool) -> Iterator[Piece]:
        line = max(int(one.get("lineno", 1)) - 1, 0)
        if kind in _STATIC and (sql := _query(one, _STATIC[kind])):
            yield Piece(sql, line, self.within, looped, batched)
        elif kind in _DYNAMIC or (kind == "PLpgSQL_stmt_return_query" and "dynquery" in one):
            expression = _query(one, _DYNAMIC.get(kind, "dynquery"))
            found = possible(parse_expression(expression), self.values)
            for text in dict.fromkeys(found or []):
                yield Piece(text, line, self.within, looped, batched)
            if found is None:
                yield Piece(expression, line, self.within, looped, batched, dynamic=True)


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


def _commits(tree: Json) -> bool:
    return any(kind == "PLpgSQL_stmt_commit" for kind, _ in _nodes(tree))
