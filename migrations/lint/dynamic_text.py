"""SQL that is put together at run time: what its text can be, as far as that is written down."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import postgast
from postgast import nodes
from postgast.nodes.base import AstNode

from migrations.lint.names import constant, quoted, strings

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
        case nodes.A_Expr() if strings(node.name) == ("||",):
            sides = [texts(one, values, guess=guess) for one in (node.lexpr, node.rexpr)]
            return _joined(sides, "{}{}".format)
        case nodes.FuncCall():
            given = [texts(one, values, guess=guess) for one in node.args]
            join = _JOINS.get(strings(node.funcname)[-1])
            return _joined(given, join) if join is not None else None
        case _:
            return None


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


_JOINS: Mapping[str, Callable[..., str]] = {
    "format": _formatted,
    "concat": _concatenated,
    "quote_ident": quoted,
    "quote_literal": _literal,
    "quote_nullable": _literal,
}
