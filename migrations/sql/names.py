"""Names and types, read from PostgreSQL's own parse tree, so that spelling and quoting make no difference."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import postgast
from postgast import nodes
from postgast.nodes.base import AstNode

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_ALIASES = {
    "serial4": "serial",
    "serial8": "bigserial",
    "serial2": "smallserial",
    "decimal": "numeric",
    "character varying": "varchar",
}


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, order=True)
class Name:
    """The name of a relation, type or function.

    Attributes:
        name: its name, as the catalogue has it.
        schema: its schema; empty for public, which is also what an unqualified name is taken for.
    """

    name: str
    schema: str = ""

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}" if self.schema else quoted(self.name)

    @classmethod
    def of(cls, name: str, schema: str = "") -> Name:
        """The name, with the usual search path."""
        return cls(name, "" if schema == "public" else schema)

    @classmethod
    def of_range(cls, relation: nodes.RangeVar | None) -> Name:
        """The relation that a statement names."""
        return cls("") if relation is None else cls.of(relation.relname, relation.schemaname)

    @classmethod
    def of_parts(cls, parts: Iterable[AstNode]) -> Name:
        """The object that a list of names means: the last one is its own, the one before its schema."""
        schema, name = ("", "", *strings(parts))[-2:]
        return cls.of(name, "" if schema == "pg_catalog" else schema)


def strings(parts: Iterable[AstNode]) -> tuple[str, ...]:
    """The strings among nodes, those of lists included."""
    found: list[str] = []
    for part in parts:
        if isinstance(part, nodes.String):
            found.append(part.sval)
        elif isinstance(part, nodes.List):
            found += strings(part.items)
    return tuple(found)


def constant(node: AstNode | None) -> str | int | bool | None:
    """The value of a literal; None where it is NULL, or no literal."""
    match node.val if isinstance(node, nodes.A_Const) else node:
        case nodes.String(sval=text):
            return text
        case nodes.Integer(ival=whole):
            return whole
        case nodes.Boolean(boolval=truth):
            return truth
        case nodes.Float(fval=digits):
            return digits
        case _:
            return None


@dataclass(frozen=True)
class SqlType:
    """A column's type.

    Attributes:
        name: PostgreSQL's short name: int4, varchar, timestamptz; a type of the user's with its schema.
        modifiers: its length, or precision and scale.
        array: whether it is an array.
    """

    name: str
    modifiers: tuple[int, ...] = ()
    array: bool = False

    def __str__(self) -> str:
        inside = f"({','.join(str(one) for one in self.modifiers)})" if self.modifiers else ""
        return f"{self.name}{inside}{'[]' if self.array else ''}"

    @classmethod
    def of(cls, given: nodes.TypeName | None) -> SqlType | None:
        """The type that a statement names."""
        if given is None or not given.names:
            return None
        name = str(Name.of_parts(given.names))
        values = [constant(one) for one in given.typmods]
        whole = tuple(one for one in values if isinstance(one, int))
        return cls(_ALIASES.get(name, name), whole, bool(given.array_bounds))

    @classmethod
    def named(cls, text: str) -> SqlType | None:
        """The type that format_type() wrote."""
        try:
            tree = postgast.wrap(postgast.parse(f"SELECT NULL::{text}"))
        except postgast.PgQueryError:
            return None
        for _, node in postgast.walk_typed(tree):
            if isinstance(node, nodes.TypeName):
                return cls.of(node)
        return None
