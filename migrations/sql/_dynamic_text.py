"""SQL that is put together at run time: what its text can be, as far as that is written down."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import postgast
from postgast import nodes
from postgast.nodes.base import AstNode

from migrations.sql.names import constant, quoted, strings

Values = Mapping[str, list[str] | None]

# Stands for a part that only the run knows, where the statement can be judged without it.
UNKNOWN = "pilotage_unknown"

_PLACEHOLDER = re.compile(r"%(?:%|(\d+\$)?[sIL])")
_MOST_TEXTS = 200


def expression(text: str) -> AstNode | None:
    """An expression of a block, parsed; None where it is none."""
    if not text.strip():
        return None
    try:
        tree = postgast.wrap(postgast.parse(f"SELECT {text}"))
    except postgast.PgQueryError:
        return None
    targets = (node for _, node in postgast.walk_typed(tree) if isinstance(node, nodes.ResTarget))
    found = next(targets, None)
    return None if found is None else found.val


def possible(node: AstNode | None, values: Values) -> list[str] | None:
    """Every text that an expression can be, or that tells enough of it to be judged; None where there is none.

    Args:
        node: the expression.
        values: what the variables of the block can hold.
    """
    exact = texts(node, values)
    if exact is not None:
        return exact
    guessed = texts(node, values, guess=True) if isinstance(node, nodes.A_Expr | nodes.FuncCall) else None
    return guessed if guessed and all(_is_told(text) for text in guessed) else None


def texts(node: AstNode | None, values: Values, *, guess: bool = False) -> list[str] | None:
    """Every text that an expression can be; None where it cannot be known.

    Args:
        node: the expression.
        values: what the variables of the block can hold.
        guess: whether `UNKNOWN` stands for the parts that cannot be known.
    """
    found = _texts(node, values, guess=guess)
    return [UNKNOWN] if found is None and guess else found


def _texts(node: AstNode | None, values: Values, *, guess: bool) -> list[str] | None:
    match node:
        case nodes.A_Const():
            value = constant(node)
            return None if value is None else [str(value)]
        case nodes.TypeCast():
            return texts(node.arg, values, guess=guess)
        case nodes.ColumnRef():
            return values.get(".".join(strings(node.fields)))
        case nodes.ParamRef():
            return values.get(f"${node.number}")
        case nodes.CaseExpr():
            results = [one.result for one in node.args if isinstance(one, nodes.CaseWhen)]
            return _any_of([*results, *([node.defresult] if node.defresult is not None else [])], values, guess=guess)
        case nodes.CoalesceExpr():
            return _any_of(node.args, values, guess=guess)
        case nodes.A_Expr() if strings(node.name) == ("||",):
            sides = [texts(one, values, guess=guess) for one in (node.lexpr, node.rexpr)]
            return _joined(sides, "{}{}".format)
        case nodes.FuncCall():
            given = [texts(one, values, guess=guess) for one in node.args]
            join = _JOINS.get(strings(node.funcname)[-1])
            return _joined(given, join) if join is not None else None
        case _:
            return None


def _any_of(given: Sequence[AstNode | None], values: Values, *, guess: bool) -> list[str] | None:
    each = [texts(one, values, guess=guess) for one in given]
    return None if any(one is None for one in each) else [text for one in each for text in one or []]


def elements(node: AstNode | None, values: Values) -> list[str] | None:
    """The texts that the elements of an array can be; None where they cannot be known."""
    if isinstance(node, nodes.TypeCast):
        return elements(node.arg, values)
    return _any_of(node.elements, values, guess=False) if isinstance(node, nodes.A_ArrayExpr) else None


def columns(query: str, values: Values) -> tuple[tuple[str, list[str] | None], ...] | None:
    """The columns of a query that lists its rows itself, with the texts that each can hold; None where it does not.

    Args:
        query: VALUES, or a SELECT from them, from an array, or from nothing.
        values: what the variables of the block can hold.
    """
    try:
        tree = postgast.wrap(postgast.parse(query))
    except postgast.PgQueryError:
        return None
    found = tree.stmts[0].stmt if isinstance(tree, nodes.ParseResult) and len(tree.stmts) == 1 else None
    return _columns(found, values) if isinstance(found, nodes.SelectStmt) else None


def _columns(query: nodes.SelectStmt, values: Values) -> tuple[tuple[str, list[str] | None], ...] | None:
    if query.values_lists:
        rows = [one.items for one in query.values_lists if isinstance(one, nodes.List)]
        named = enumerate(zip(*rows, strict=True), 1)
        return tuple((f"column{number}", _any_of(each, values, guess=False)) for number, each in named)
    source = _listed(query.from_clause[0], values) if len(query.from_clause) == 1 else ()
    if query.from_clause and not source:
        return None
    known = {**values, **dict(source or ())}
    result: list[tuple[str, list[str] | None]] = []
    for target in query.target_list:
        value = target.val if isinstance(target, nodes.ResTarget) else None
        if isinstance(value, nodes.ColumnRef) and any(isinstance(one, nodes.A_Star) for one in value.fields):
            result += source or ()
        elif isinstance(target, nodes.ResTarget):
            result.append((target.name or _own_name(value), _each(value, known)))
    return tuple(result)


def _listed(source: AstNode, values: Values) -> tuple[tuple[str, list[str] | None], ...] | None:
    """The columns of VALUES or of an array behind FROM, by the names of its alias."""
    inner: tuple[tuple[str, list[str] | None], ...] | None = None
    match source:
        case nodes.RangeSubselect(subquery=nodes.SelectStmt() as query):
            inner = _columns(query, values)
        case nodes.RangeFunction():
            calls = [one for _, one in postgast.walk_typed(source) if isinstance(one, nodes.FuncCall)]
            name = source.alias.aliasname if source.alias is not None else "unnest"
            inner = ((name, _each(calls[0], values)),) if len(calls) == 1 else None
        case _:
            return None
    alias = source.alias
    names = strings(alias.colnames) if alias is not None else ()
    if inner is None:
        return None
    named = [(names[number] if number < len(names) else name, each) for number, (name, each) in enumerate(inner)]
    qualified = [(f"{alias.aliasname}.{name}", each) for name, each in named] if alias is not None else []
    return (*named, *qualified)


def _each(node: AstNode | None, values: Values) -> list[str] | None:
    """What an expression can be in each row: unnest() makes one of each element."""
    if isinstance(node, nodes.FuncCall) and strings(node.funcname)[-1:] == ("unnest",) and len(node.args) == 1:
        return elements(node.args[0], values)
    return texts(node, values)


def _own_name(node: AstNode | None) -> str:
    """The name that PostgreSQL gives a column without one."""
    match node:
        case nodes.FuncCall():
            return strings(node.funcname)[-1]
        case nodes.ColumnRef():
            return strings(node.fields)[-1]
        case nodes.TypeCast():
            return _own_name(node.arg)
        case _:
            return "?column?"


def is_sql(text: str) -> bool:
    """Whether PostgreSQL's parser takes a text."""
    try:
        postgast.parse(text)
    except postgast.PgQueryError:
        return False
    return True


def _is_told(text: str) -> bool:
    """Whether a text with unknown parts can be judged: it names its tables, and gives nobody a right."""
    try:
        tree = postgast.wrap(postgast.parse(text))
    except postgast.PgQueryError:
        return False
    if not isinstance(tree, nodes.ParseResult):
        return False
    named = (one for _, one in postgast.walk_typed(tree) if isinstance(one, nodes.RangeVar))
    if any(UNKNOWN in one.relname + one.schemaname for one in named):
        return False
    told = (nodes.AlterTableStmt, nodes.IndexStmt, nodes.UpdateStmt, nodes.DeleteStmt, nodes.InsertStmt)
    return all(
        isinstance(one.stmt, told) or (isinstance(one.stmt, nodes.GrantStmt) and not one.stmt.is_grant)
        for one in tree.stmts
    )


def _joined(given: Sequence[list[str] | None], join: Callable[..., str]) -> list[str] | None:
    known = [one for one in given if one is not None]
    if len(known) < len(given):
        return None
    every = itertools.islice(itertools.product(*known), _MOST_TEXTS)
    try:
        return [join(*each) for each in every]
    except (IndexError, StopIteration, RuntimeError, TypeError):
        return None


def _formatted(template: str, *arguments: str) -> str:
    waiting = iter(arguments)

    def put(found: re.Match[str]) -> str:
        if found.group() == "%%":
            return "%"
        position = found.group(1)
        given = arguments[int(position[:-1]) - 1] if position else next(waiting)
        return {"I": quoted, "L": _literal, "s": str}[found.group()[-1]](given)

    return _PLACEHOLDER.sub(put, template)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _concatenated(*parts: str) -> str:
    return "".join(parts)


def _joined_with(separator: str, *parts: str) -> str:
    return separator.join(parts)


_JOINS: Mapping[str, Callable[..., str]] = {
    "format": _formatted,
    "replace": str.replace,
    "lower": str.lower,
    "upper": str.upper,
    "concat_ws": _joined_with,
    "concat": _concatenated,
    "quote_ident": quoted,
    "quote_literal": _literal,
    "quote_nullable": _literal,
}
