"""What runs inside DO blocks and called functions, as far as it can be known without running it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql import _blocks
from migrations.sql._blocks import BodyStatement, statements_of_body
from migrations.sql.locking import option
from migrations.sql.names import Name
from migrations.sql.routines import Routine, calls, routine

COMMENTS = frozenset({int(pb.SQL_COMMENT), int(pb.C_COMMENT)})

_COMMIT = re.compile(r"(?:^|;|\b(?:THEN|LOOP|BEGIN|ELSE))\s*(?:COMMIT|ROLLBACK)\b[^;]*;", re.IGNORECASE | re.MULTILINE)

_CHANGES = (nodes.UpdateStmt, nodes.DeleteStmt, nodes.InsertStmt, nodes.MergeStmt)
_WITH = (nodes.SelectStmt, *_CHANGES)
_CALLING = (*_WITH, nodes.CallStmt, nodes.CreateTableAsStmt)
_COMPUTES = frozenset({int(pb.AT_AddColumn), int(pb.AT_AlterColumnType)})


def body_statements(node: AstNode, functions: Mapping[Name, Routine]) -> Iterator[BodyStatement]:
    """The SQL that a statement runs beside its own: that of a DO block, or of functions that it calls."""
    if isinstance(node, nodes.DoStmt):
        found = routine(node)
        if found is not None:
            yield from statements_of_body(found, {}, "a DO block")
    elif functions and _calls_now(node):
        seen: list[BodyStatement] = []
        for call in calls(node):
            name = Name.of_parts(call.funcname)
            if name in functions:
                called = functions[name]
                seen += [
                    one for one in statements_of_body(called, called.bound(call), f"function {name}") if one not in seen
                ]
        yield from seen


def _calls_now(node: AstNode) -> bool:
    """Whether the functions in a statement run with it.

    Source: a default of ADD COLUMN is computed when it is added, that of SET DEFAULT or of CREATE TABLE is not.
    """
    if isinstance(node, nodes.AlterTableStmt):
        return any(isinstance(one, nodes.AlterTableCmd) and one.subtype in _COMPUTES for one in node.cmds)
    return isinstance(node, _CALLING)


def commits(node: AstNode) -> bool:
    """Whether a DO block ends transactions, which it may only outside of one.

    Source: COMMIT in a block raises "invalid transaction termination" inside a transaction.
    """
    found = routine(node) if isinstance(node, nodes.DoStmt) else None
    return found is not None and _COMMIT.search(found.source) is not None


def may_end_transactions(node: nodes.DoStmt) -> bool:
    """Whether a DO block may end a transaction in its midst; one that cannot is all or nothing, as any statement."""
    found = routine(node)
    return found is None or _blocks.may_end_transactions(found)


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
