"""What a statement uses, read from PostgreSQL's own parse tree: relations, columns, where its parameters go."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import postgast

_NODES = {"InsertStmt": "INSERT", "UpdateStmt": "UPDATE", "DeleteStmt": "DELETE", "MergeStmt": "UPDATE"}


@dataclass(frozen=True, order=True)
class Relation:
    """A relation as a statement names it.

    Attributes:
        name: its name.
        schema: its schema; empty where the search path decides.
    """

    name: str
    schema: str = ""


@dataclass(frozen=True, order=True)
class ColumnReference:
    """A column as a statement means it."""

    relation: Relation
    column: str


@dataclass
class Usage:
    """What a statement uses.

    Attributes:
        relations: each with the privilege that it takes.
        columns: every name that may be a column's.
        everything: whether it asks for `*`.
        parameters: the column that a parameter is written to or compared with, by number.
        limits: parameters that say how many rows.
        written: columns that it gives a value, by relation; None for an INSERT without a list of columns.
        inserts: the relations among them that get new rows.
        numbers: every parameter.
    """

    relations: set[tuple[Relation, str]] = field(default_factory=set[tuple[Relation, str]])
    columns: set[str] = field(default_factory=set[str])
    everything: bool = False
    parameters: dict[int, ColumnReference] = field(default_factory=dict[int, ColumnReference])
    limits: set[int] = field(default_factory=set[int])
    written: dict[Relation, set[str] | None] = field(default_factory=dict[Relation, set[str] | None])
    inserts: set[Relation] = field(default_factory=set[Relation])
    numbers: set[int] = field(default_factory=set[int])

    @property
    def writes(self) -> bool:
        """Whether it changes rows."""
        return any(privilege != "SELECT" for _, privilege in self.relations)


def usage(query: str) -> Usage | None:
    """Read what a statement uses.

    Args:
        query: its text, with parameters as $1, $2, …

    Returns:
        What it uses; None where it cannot be parsed.
    """
    try:
        tree: Any = postgast.parse(query)
    except postgast.PgQueryError:
        return None
    found = Usage()
    aliases = _relations(tree, found)
    for node in _walk(tree):
        match type(node).__name__:
            case "ColumnRef":
                _column(node, found)
            case "ParamRef":
                found.numbers.add(int(node.number))
            case "InsertStmt":
                _insert(node, found)
            case "UpdateStmt":
                _update(node, found)
            case "A_Expr":
                _compared(node, aliases, found)
            case "SelectStmt":
                limits = [one for part in ("limit_count", "limit_offset") for one in _walk(getattr(node, part))]
                found.limits |= {int(one.number) for one in limits if type(one).__name__ == "ParamRef"}
            case _:
                pass
    return found


def _relations(tree: Any, found: Usage) -> Mapping[str, Relation]:
    """Note every relation that is named, and give them by the names that columns may be qualified with."""
    common = {str(node.ctename) for node in _walk(tree) if type(node).__name__ == "CommonTableExpr"}
    aliases: dict[str, Relation] = {}
    targets: set[Relation] = set()
    for node in _walk(tree):
        privilege = _NODES.get(type(node).__name__)
        if privilege is not None:
            relation = _relation(node.relation)
            targets.add(relation)
            found.relations.add((relation, privilege))
            clause = getattr(node, "on_conflict_clause", None)
            if clause is not None and clause.target_list:
                found.relations.add((relation, "UPDATE"))
            aliases["excluded"] = relation
        elif type(node).__name__ == "RangeVar" and (node.schemaname or node.relname not in common):
            relation = _relation(node)
            aliases[str(node.alias.aliasname or node.relname)] = relation
            if relation not in targets:
                found.relations.add((relation, "SELECT"))
    return aliases


def _relation(node: Any) -> Relation:
    return Relation(str(node.relname), str(node.schemaname))


def _column(node: Any, found: Usage) -> None:
    last = node.fields[-1]
    if last.WhichOneof("node") == "a_star":
        found.everything = True
    else:
        found.columns.add(str(last.string.sval))


def _insert(node: Any, found: Usage) -> None:
    relation = _relation(node.relation)
    names = [str(one.res_target.name) for one in node.cols]
    found.columns |= set(names)
    found.inserts.add(relation)
    found.written[relation] = set(names) if names else None
    for row in node.select_stmt.select_stmt.values_lists:
        for name, value in zip(names, row.list.items, strict=False):
            _goes_to(value, ColumnReference(relation, name), found)
    for target in node.on_conflict_clause.target_list:
        _goes_to(target.res_target.val, ColumnReference(relation, str(target.res_target.name)), found)


def _update(node: Any, found: Usage) -> None:
    relation = _relation(node.relation)
    names = {str(one.res_target.name) for one in node.target_list}
    found.columns |= names
    already = found.written.get(relation, set[str]())
    found.written[relation] = None if already is None else already | names
    for target in node.target_list:
        _goes_to(target.res_target.val, ColumnReference(relation, str(target.res_target.name)), found)


def _compared(node: Any, aliases: Mapping[str, Relation], found: Usage) -> None:
    for one, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
        columns = [inner for inner in _walk(one) if type(inner).__name__ == "ColumnRef"]
        if len(columns) != 1 or columns[0].fields[-1].WhichOneof("node") != "string":
            continue
        names = [str(part.string.sval) for part in columns[0].fields]
        relation = aliases.get(names[-2]) if len(names) > 1 else None
        if relation is None and len(set(aliases.values())) == 1:
            relation = next(iter(aliases.values()))
        if relation is not None:
            _goes_to(other, ColumnReference(relation, names[-1]), found)


def _goes_to(value: Any, reference: ColumnReference, found: Usage) -> None:
    for node in _walk(value):
        if type(node).__name__ == "ParamRef":
            found.parameters.setdefault(int(node.number), reference)


def _walk(node: Any) -> Generator[Any]:
    """Every node of a tree, from the outside in."""
    yield node
    for _, value in node.ListFields():
        inner: Iterable[Any] = [value] if hasattr(value, "ListFields") else value if _many(value) else ()
        for one in inner:
            if hasattr(one, "ListFields"):
                yield from _walk(one)


def _many(value: Any) -> bool:
    return not isinstance(value, str | bytes | int | float | bool)
