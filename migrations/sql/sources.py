"""The tables that a query draws its rows from, as many as they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql.bounds import is_catalogue, is_selective
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name
from migrations.sql.procedural import limited


def source_tables(
    query: AstNode | None, state: DatabaseState, beside: nodes.WithClause | None = None
) -> frozenset[Name]:
    """The tables whose rows come out of a query, without a LIMIT or a condition that lets a known number through.

    What a condition only looks at is left out, and so are VALUES, functions and PostgreSQL's own catalogues.

    Args:
        query: a query, or what stands behind USING.
        state: what is known of keys.
        beside: the common table expressions of the statement around it.
    """
    return frozenset(name for name in _drawn(query, state, _ctes(beside)) if not is_catalogue(name))


def scanned_tables(query: nodes.SelectStmt, state: DatabaseState) -> frozenset[Name]:
    """The tables whose rows a query draws or looks at, those of its subqueries included."""
    inner = [one.subselect for _, one in postgast.walk_typed(query) if isinstance(one, nodes.SubLink)]
    return frozenset(name for one in (query, *inner) for name in source_tables(one, state))


def _drawn(node: AstNode | None, state: DatabaseState, around: Mapping[str, AstNode | None]) -> Iterator[Name]:
    match node:
        case nodes.SelectStmt():
            if not limited(node):
                yield from _of_query(node, state, around)
        case nodes.RangeVar():
            known = not node.schemaname and node.relname in around
            if known:
                # A common table expression that names itself ends with what it began with.
                rest = {name: one for name, one in around.items() if name != node.relname}
                yield from _drawn(around[node.relname], state, rest)
            else:
                yield Name.of_range(node)
        case nodes.RangeSubselect():
            yield from _drawn(node.subquery, state, around)
        case nodes.JoinExpr():
            yield from _drawn(node.larg, state, around)
            yield from _drawn(node.rarg, state, around)
        case nodes.RangeTableSample():
            yield from _drawn(node.relation, state, around)
        case _:
            return


def _of_query(node: nodes.SelectStmt, state: DatabaseState, around: Mapping[str, AstNode | None]) -> Iterator[Name]:
    inside = {**around, **_ctes(node.with_clause)}
    if node.op != pb.SETOP_NONE:
        yield from _drawn(node.larg, state, inside)
        yield from _drawn(node.rarg, state, inside)
        return
    sources: Iterable[AstNode] = node.from_clause
    alone = sources[0] if len(sources) == 1 else None
    if isinstance(alone, nodes.RangeVar) and is_selective(alone, node.where_clause, state):
        return
    for one in sources:
        yield from _drawn(one, state, inside)


def _ctes(clause: nodes.WithClause | None) -> dict[str, AstNode | None]:
    found = clause.ctes if clause is not None else []
    return {one.ctename: one.ctequery for one in found if isinstance(one, nodes.CommonTableExpr)}
