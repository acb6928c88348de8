"""How many rows a statement can touch, as far as its text tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name, strings
from migrations.sql.procedural import limited, limited_ctes

_LOWER, _UPPER = frozenset({">", ">="}), frozenset({"<", "<="})


def is_bounded(
    node: nodes.UpdateStmt | nodes.DeleteStmt,
    state: DatabaseState,
    *,
    in_block: bool = False,
    around: frozenset[str] = frozenset(),
) -> bool:
    """Whether an UPDATE or DELETE says how many rows it can touch.

    It does by a unique key, a list of values, a range with two ends, a LIMIT in a subquery or in a CTE that it joins,
    or a cursor.

    Args:
        node: the statement.
        state: what is known of keys.
        in_block: whether a name that it compares with can be a variable of a block.
        around: common table expressions around it that end after a number of rows.
    """
    if isinstance(node.where_clause, nodes.CurrentOfExpr):
        return True
    joined = node.from_clause if isinstance(node, nodes.UpdateStmt) else node.using_clause
    ctes = limited_ctes(node.with_clause) | around
    if any(limited(one) or (isinstance(one, nodes.RangeVar) and one.relname in ctes) for one in joined):
        return True
    relation = node.relation
    target = _Target(
        Name.of_range(relation),
        relation.alias.aliasname if relation is not None and relation.alias is not None else "",
        state,
        ctes,
        variables=in_block and not joined,
    )
    conditions = list(conjuncts(node.where_clause))
    return any(target.bounds(one) for one in conditions) or target.is_range(conditions)


@dataclass(frozen=True)
class _Target:
    """The table that is changed, and what its conditions may compare with.

    Attributes:
        table: its name.
        alias: what the statement calls it; empty where it calls it by its name.
        state: what is known of it.
        limited_ctes: common table expressions that end after a number of rows.
        variables: whether a name can be a variable.
    """

    table: Name
    alias: str
    state: DatabaseState
    limited_ctes: frozenset[str]
    variables: bool

    def bounds(self, condition: AstNode) -> bool:
        """Whether a condition lets a known number of rows through."""
        if isinstance(condition, nodes.SubLink):
            return self._among(condition)
        if not isinstance(condition, nodes.A_Expr):
            return False
        operator = strings(condition.name)[-1:]
        match condition.kind:
            case pb.AEXPR_IN:
                return operator == ("=",) and self._is_key(condition.lexpr)
            case pb.AEXPR_OP_ANY:
                return self._is_list(condition.rexpr) and self._is_key(condition.lexpr)
            case pb.AEXPR_BETWEEN:
                return self._orders(self._own(condition.lexpr))
            case pb.AEXPR_OP if operator == ("=",):
                sides = (condition.lexpr, condition.rexpr), (condition.rexpr, condition.lexpr)
                return any(self._is_key(one) and self._is_fixed(other) for one, other in sides)
            case _:
                return False

    def is_range(self, conditions: list[AstNode]) -> bool:
        """Whether conditions together give a column two ends."""
        ends: dict[str, set[str]] = {}
        for one in conditions:
            if not isinstance(one, nodes.A_Expr) or one.kind != pb.AEXPR_OP:
                continue
            operator = strings(one.name)[-1]
            for left, right, lower, upper in (
                (one.lexpr, one.rexpr, _LOWER, _UPPER),
                (one.rexpr, one.lexpr, _UPPER, _LOWER),
            ):
                side = "lower" if operator in lower else "upper" if operator in upper else ""
                column = self._own(left)
                if side and column and self._is_fixed(right) and self._orders(column):
                    ends.setdefault(column, set()).add(side)
        return any({"lower", "upper"} <= sides for sides in ends.values())

    def _among(self, condition: nodes.SubLink) -> bool:
        query = condition.subselect
        if condition.sub_link_type != pb.ANY_SUBLINK or not self._is_key(condition.testexpr):
            return False
        named = query.from_clause if isinstance(query, nodes.SelectStmt) else []
        return limited(query) or any(
            isinstance(one, nodes.RangeVar) and one.relname in self.limited_ctes for one in named
        )

    def _own(self, node: AstNode | None) -> str | None:
        """The column of the table itself that an expression is."""
        node = _bare(node)
        found = strings(node.fields) if isinstance(node, nodes.ColumnRef) else ()
        *qualified, column = found or ("",)
        is_own = bool(column) and qualified[-1:] in ([], [self.alias or self.table.name])
        return column if is_own else None

    def _orders(self, column: str | None) -> bool:
        """Whether a range of a column is one of a key, or of an index that goes by it."""
        known = self.state.table(self.table)
        led = any(one.columns[:1] == (column,) for one in known.indexes.values())
        by_name = not known.complete and column is not None and column.lower().endswith("id")
        return column is not None and (led or by_name or _is_unique(column, self.table, self.state))

    def _is_key(self, node: AstNode | None) -> bool:
        if isinstance(node, nodes.RowExpr):
            return any(self._is_key(one) for one in node.args)
        column = self._own(node)
        return column is not None and _is_unique(column, self.table, self.state)

    def _is_fixed(self, node: AstNode | None) -> bool:
        """Whether an expression is one value, known before the rows are looked at."""
        node = _bare(node)
        if isinstance(node, nodes.SubLink):
            return node.sub_link_type == pb.EXPR_SUBLINK
        if node is None:
            return False
        return self.variables or not any(isinstance(one, nodes.ColumnRef) for _, one in postgast.walk_typed(node))

    def _is_list(self, node: AstNode | None) -> bool:
        node = _bare(node)
        if isinstance(node, nodes.SubLink):
            return limited(node.subselect)
        return isinstance(node, nodes.A_ArrayExpr | nodes.ParamRef | nodes.A_Const) or (
            self.variables and isinstance(node, nodes.ColumnRef)
        )


def is_selective(relation: nodes.RangeVar, condition: AstNode | None, state: DatabaseState) -> bool:
    """Whether a condition on one table lets a known number of its rows through."""
    alias = relation.alias.aliasname if relation.alias is not None else ""
    target = _Target(Name.of_range(relation), alias, state, frozenset(), variables=False)
    conditions = list(conjuncts(condition))
    return any(target.bounds(one) for one in conditions) or target.is_range(conditions)


def conjuncts(condition: AstNode | None) -> Iterator[AstNode]:
    """What a condition demands, all of it."""
    if isinstance(condition, nodes.BoolExpr) and condition.boolop == pb.AND_EXPR:
        for one in condition.args:
            yield from conjuncts(one)
    elif condition is not None:
        yield condition


def is_catalogue(name: Name) -> bool:
    """Whether a relation is PostgreSQL's own, and so small."""
    return name.schema == "information_schema" or name.name.startswith("pg_")


def read_tables(node: AstNode) -> frozenset[Name]:
    """The relations that a statement names, its common table expressions left out."""
    walked = [one for _, one in postgast.walk_typed(node)]
    named = {one.ctename for one in walked if isinstance(one, nodes.CommonTableExpr)}
    found = (one for one in walked if isinstance(one, nodes.RangeVar))
    return frozenset(Name.of_range(one) for one in found if one.schemaname or one.relname not in named)


def _bare(node: AstNode | None) -> AstNode | None:
    while isinstance(node, nodes.TypeCast):
        node = node.arg
    return node


def _is_unique(column: str, table: Name, state: DatabaseState) -> bool:
    known = state.table(table)
    keys = {one.columns for one in known.constraints if one.kind in {"unique", "primary key"}}
    keys |= {one.columns for one in known.indexes.values() if one.unique and not one.partial}
    if (column,) in keys:
        return True
    # Of a table that nothing is known about, a column `id` or `ctid` is taken for its key.
    return column in {"id", "ctid", "uuid"} and not known.complete
