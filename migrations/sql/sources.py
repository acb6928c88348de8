"""The tables that a query draws its rows from, as many as they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql.bounds import is_catalogue, lets_few_through
from migrations.sql.names import Name
from migrations.sql.procedural import limited
from migrations.sql.world import World


def drawn_from(query: AstNode | None, world: World, beside: nodes.WithClause | None = None) -> frozenset[Name]:
    """The tables whose rows come out of a query, without a LIMIT or a condition that lets a known number through.

    What a condition only looks at is left out, and so are VALUES, functions and PostgreSQL's own catalogues.

    Args:
        query: a query, or what stands behind USING.
        world: what is known of keys.
        beside: the common table expressions of the statement around it.
    """
    return frozenset(name for name in _drawn(query, world, _ctes(beside)) if not is_catalogue(name))


def looked_through(query: nodes.SelectStmt, world: World) -> frozenset[Name]:
    """The tables whose rows a query draws or looks at, those of its subqueries included."""
    inner = [one.subselect for _, one in postgast.walk_typed(query) if isinstance(one, nodes.SubLink)]
    return frozenset(name for one in (query, *inner) for name in drawn_from(one, world))


def _drawn(node: AstNode | None, world: World, around: Mapping[str, AstNode | None]) -> Iterator[Name]:
    match node:
        case nodes.SelectStmt():
            if not limited(node):
                yield from _of_query(node, world, around)
        case nodes.RangeVar():
            known = not node.schemaname and node.relname in around
            if known:
                # A common table expression that names itself ends with what it began with.
                rest = {name: one for name, one in around.items() if name != node.relname}
                yield from _drawn(around[node.relname], world, rest)
            else:
                yield Name.of_range(node)
        case nodes.RangeSubselect():
            yield from _drawn(node.subquery, world, around)
        case nodes.JoinExpr():
            yield from _drawn(node.larg, world, around)
            yield from _drawn(node.rarg, world, around)
        case nodes.RangeTableSample():
            yield from _drawn(node.relation, world, around)
        case _:
            return


def _of_query(node: nodes.SelectStmt, world: World, around: Mapping[str, AstNode | None]) -> Iterator[Name]:
    inside = {**around, **_ctes(node.with_clause)}
    if node.op != pb.SETOP_NONE:
        yield from _drawn(node.larg, world, inside)
        yield from _drawn(node.rarg, world, inside)
        return
    sources: Iterable[AstNode] = node.from_clause
    alone = sources[0] if len(sources) == 1 else None
    if isinstance(alone, nodes.RangeVar) and lets_few_through(alone, node.where_clause, world):
        return
    for one in sources:
        yield from _drawn(one, world, inside)


def _ctes(clause: nodes.WithClause | None) -> dict[str, AstNode | None]:
    found = clause.ctes if clause is not None else []
    return {one.ctename: one.ctequery for one in found if isinstance(one, nodes.CommonTableExpr)}
