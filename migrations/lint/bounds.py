"""How many rows a statement can touch, as far as its text tells."""

from __future__ import annotations

from collections.abc import Iterator

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.lint.names import Name, strings
from migrations.lint.world import World

_LOWER, _UPPER = frozenset({">", ">="}), frozenset({"<", "<="})


def is_bounded(node: nodes.UpdateStmt | nodes.DeleteStmt, world: World) -> bool:
    """Whether an UPDATE or DELETE says how many rows it can touch.

    It does by a unique key, a list of values, a range with two ends, a LIMIT in a subquery or in a CTE that it joins,
    or a cursor.
    """
    if isinstance(node.where_clause, nodes.CurrentOfExpr):
        return True
    joined = node.from_clause if isinstance(node, nodes.UpdateStmt) else node.using_clause
    if any(limited(one) for one in joined) or _joins_limited(node.with_clause, joined):
        return True
    conditions = list(conjuncts(node.where_clause))
    table = Name.of_range(node.relation)
    limited_ctes = _limited_ctes(node.with_clause)
    return any(_is_bound(one, table, world, limited_ctes) for one in conditions) or _is_range(conditions)


def limited(node: AstNode | None) -> bool:
    """Whether a query ends after a number of rows."""
    if isinstance(node, nodes.RangeSubselect):
        return limited(node.subquery)
    return isinstance(node, nodes.SelectStmt) and node.limit_count is not None


def conjuncts(condition: AstNode | None) -> Iterator[AstNode]:
    """What a condition demands, all of it."""
    if isinstance(condition, nodes.BoolExpr) and condition.boolop == pb.AND_EXPR:
        for one in condition.args:
            yield from conjuncts(one)
    elif condition is not None:
        yield condition


def read_tables(node: AstNode) -> frozenset[Name]:
    """The relations that a statement names, its common table expressions left out."""
    walked = [one for _, one in postgast.walk_typed(node)]
    named = {one.ctename for one in walked if isinstance(one, nodes.CommonTableExpr)}
    found = (one for one in walked if isinstance(one, nodes.RangeVar))
    return frozenset(Name.of_range(one) for one in found if one.schemaname or one.relname not in named)


def _limited_ctes(clause: nodes.WithClause | None) -> frozenset[str]:
    found = [one for one in clause.ctes if isinstance(one, nodes.CommonTableExpr)] if clause is not None else []
    return frozenset(one.ctename for one in found if limited(one.ctequery))


def _joins_limited(clause: nodes.WithClause | None, joined: list[AstNode]) -> bool:
    ctes = _limited_ctes(clause)
    return any(isinstance(one, nodes.RangeVar) and one.relname in ctes for one in joined)


def _is_bound(condition: AstNode, table: Name, world: World, limited_ctes: frozenset[str]) -> bool:
    if isinstance(condition, nodes.SubLink):
        query = condition.subselect
        if isinstance(query, nodes.SelectStmt) and condition.sub_link_type in {pb.ANY_SUBLINK, pb.EXISTS_SUBLINK}:
            return limited(query) or any(
                isinstance(one, nodes.RangeVar) and one.relname in limited_ctes for one in query.from_clause
            )
    if not isinstance(condition, nodes.A_Expr):
        return False
    operator = strings(condition.name)[-1:]
    column = _column(condition.lexpr)
    match condition.kind:
        case pb.AEXPR_IN:
            return condition.rexpr is not None and operator == ("=",)
        case pb.AEXPR_OP_ANY:
            return _is_list(condition.rexpr)
        case pb.AEXPR_BETWEEN:
            return column is not None
        case pb.AEXPR_OP if operator == ("=",):
            other = _column(condition.rexpr)
            named = column or other
            against = condition.rexpr if column else condition.lexpr
            return named is not None and _is_fixed(against) and _is_unique(named, table, world)
        case _:
            return False


def _is_range(conditions: list[AstNode]) -> bool:
    ends: dict[str, set[str]] = {}
    for one in conditions:
        if isinstance(one, nodes.A_Expr) and one.kind == pb.AEXPR_OP and (column := _column(one.lexpr)):
            operator = strings(one.name)[-1]
            side = "lower" if operator in _LOWER else "upper" if operator in _UPPER else ""
            if side and _is_fixed(one.rexpr):
                ends.setdefault(column, set()).add(side)
    return any({"lower", "upper"} <= sides for sides in ends.values())


def _column(node: AstNode | None) -> str | None:
    while isinstance(node, nodes.TypeCast):
        node = node.arg
    found = strings(node.fields) if isinstance(node, nodes.ColumnRef) else ()
    return found[-1] if found else None


def _is_fixed(node: AstNode | None) -> bool:
    """Whether an expression is one value: a constant, a parameter, or a variable of the block."""
    while isinstance(node, nodes.TypeCast):
        node = node.arg
    if isinstance(node, nodes.SubLink):
        return node.sub_link_type == pb.EXPR_SUBLINK
    return isinstance(node, nodes.A_Const | nodes.ParamRef | nodes.ColumnRef | nodes.A_Expr | nodes.FuncCall)


def _is_list(node: AstNode | None) -> bool:
    while isinstance(node, nodes.TypeCast):
        node = node.arg
    if isinstance(node, nodes.SubLink):
        return limited(node.subselect)
    return isinstance(node, nodes.A_ArrayExpr | nodes.ParamRef | nodes.A_Const | nodes.ColumnRef)


def _is_unique(column: str, table: Name, world: World) -> bool:
    known = world.table(table)
    keys = {one.columns for one in known.constraints if one.kind in {"unique", "primary key"}}
    keys |= {one.columns for one in known.indexes.values() if one.unique and not one.partial}
    if (column,) in keys:
        return True
    # Of a table that nothing is known about, a column `id` or `ctid` is taken for its key.
    return column in {"id", "ctid", "uuid"} and not known.complete
