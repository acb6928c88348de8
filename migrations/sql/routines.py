"""Functions, procedures and DO blocks: their bodies, and what their parameters hold in a call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql._dynamic_text import texts
from migrations.sql.names import strings

_ATOMIC = re.compile(r"\bBEGIN\s+ATOMIC\b(.*)\bEND\b", re.IGNORECASE | re.DOTALL)
_GIVEN = frozenset(
    int(one) for one in (pb.FUNC_PARAM_IN, pb.FUNC_PARAM_INOUT, pb.FUNC_PARAM_VARIADIC, pb.FUNC_PARAM_DEFAULT)
)


@dataclass(frozen=True)
class Parameter:
    """A parameter that a call gives; its name is empty where it has none, and its default what a call leaves out."""

    name: str
    default: AstNode | None = None


@dataclass(frozen=True)
class Routine:
    """A body that runs when it is called.

    Attributes:
        language: sql, plpgsql or another one.
        source: its text.
        parameters: what a call gives it, as far as they are known.
    """

    language: str
    source: str
    parameters: tuple[Parameter, ...] = ()

    def bound(self, call: nodes.FuncCall) -> Mapping[str, list[str] | None]:
        """The texts that its parameters can hold in a call, by name and by number; None where only the run knows."""
        named = {one.name: one.arg for one in call.args if isinstance(one, nodes.NamedArgExpr)}
        given = [one for one in call.args if not isinstance(one, nodes.NamedArgExpr)]
        values: dict[str, list[str] | None] = {}
        for number, one in enumerate(self.parameters):
            argument = given[number] if number < len(given) else named.get(one.name, one.default)
            values[f"${number + 1}"] = held = texts(argument, {})
            if one.name:
                values[one.name] = held
        return values


def routine(statement: AstNode, text: str = "") -> Routine | None:
    """The body that a statement creates, or runs as a DO block; None where it has none.

    Args:
        statement: CREATE FUNCTION, CREATE PROCEDURE or DO.
        text: the whole statement, where the body may be one of standard SQL.
    """
    if isinstance(statement, nodes.DoStmt):
        return _body(statement.args, "", ())
    if isinstance(statement, nodes.CreateFunctionStmt):
        return _body(statement.options, text, tuple(_parameters(statement)))
    return None


def _parameters(statement: nodes.CreateFunctionStmt) -> Iterator[Parameter]:
    for one in statement.parameters:
        if isinstance(one, nodes.FunctionParameter) and one.mode in _GIVEN:
            yield Parameter(one.name, one.defexpr)


def _body(options: Sequence[AstNode], text: str, parameters: tuple[Parameter, ...]) -> Routine | None:
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
        return Routine("sql", atomic.group(1), parameters)
    return None if source is None else Routine(language, source, parameters)


def calls(node: AstNode) -> Iterator[nodes.FuncCall]:
    """Each call of a function in a statement."""
    for _, one in postgast.walk_typed(node):
        if isinstance(one, nodes.FuncCall):
            yield one
