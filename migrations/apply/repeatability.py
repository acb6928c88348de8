"""What becomes of a statement that is sent outside a transaction and cut off, read from its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql.locking import is_concurrent

Kind = Literal["again", "told", "atomic", "once"]

# What the drivers put values in place of.
_PLACE = re.compile(r"%\(\w+\)s|%s")
_AGAIN = (
    nodes.CheckPointStmt,
    nodes.ClusterStmt,
    nodes.RefreshMatViewStmt,
    nodes.ReindexStmt,
    nodes.VacuumStmt,
    nodes.VariableSetStmt,
    nodes.VariableShowStmt,
)
# Source: the commands that PostgreSQL refuses in a transaction block, by their pages; CALL and DO may commit.
_ALONE = (
    *_AGAIN,
    nodes.AlterDatabaseStmt,
    nodes.AlterSubscriptionStmt,
    nodes.AlterSystemStmt,
    nodes.CallStmt,
    nodes.CreateSubscriptionStmt,
    nodes.CreateTableSpaceStmt,
    nodes.CreatedbStmt,
    nodes.DiscardStmt,
    nodes.DoStmt,
    nodes.DropSubscriptionStmt,
    nodes.DropTableSpaceStmt,
    nodes.DropdbStmt,
    nodes.TransactionStmt,
)
_MAY_COMMIT = (nodes.CallStmt, nodes.DoStmt, nodes.TransactionStmt)
_COMMITS = frozenset({int(pb.TRANS_STMT_COMMIT), int(pb.TRANS_STMT_PREPARE)})


@dataclass(frozen=True)
class Repeating:
    """What becomes of a statement that was cut off.

    Attributes:
        kind: `again`, sent twice it does what it does once; `told`, the catalogue tells whether it was done, where it
            is known to have been begun; `atomic`, it can stand in a transaction, and so can the note of it; or `once`.
        commits: whether it commits the transaction that it stands in.
        may_commit: whether a part of it may stay though it fails.
        shape: its text without the values that it writes.
    """

    kind: Kind
    commits: bool = False
    may_commit: bool = False
    shape: str = ""


@lru_cache(maxsize=1000)
def repeating(sql: str) -> Repeating:
    """Read a text as it is given to the driver; of one that cannot be read the worst is believed."""
    readable = _PLACE.sub("NULL", sql)
    try:
        tree = postgast.wrap(postgast.parse(readable))
        shape = postgast.normalize(readable)
    except postgast.PgQueryError:
        return Repeating("once", may_commit=True, shape=sql.split(maxsplit=1)[0] if sql.strip() else "")
    stmts = tree.stmts if isinstance(tree, nodes.ParseResult) else []
    parts = [one.stmt for one in stmts if one.stmt is not None]
    return Repeating(
        _kind(parts),
        any(isinstance(one, nodes.TransactionStmt) and int(one.kind) in _COMMITS for one in parts),
        any(isinstance(one, _MAY_COMMIT) for one in parts),
        " ".join(shape.split())[:200],
    )


def _kind(parts: list[AstNode]) -> Kind:
    if all(_is_sent_again(one) for one in parts):
        return "again"
    if len(parts) == 1 and _is_told(parts[0]):
        return "told"
    is_alone = any(isinstance(one, _ALONE) or is_concurrent(one) for one in parts)
    return "once" if is_alone else "atomic"


def _is_sent_again(node: AstNode) -> bool:
    match node:
        case nodes.AlterEnumStmt():
            return node.skip_if_new_val_exists
        case nodes.IndexStmt():
            return node.concurrent and bool(node.idxname)
        case _:
            return isinstance(node, _AGAIN)


def _is_told(node: AstNode) -> bool:
    match node:
        case nodes.AlterTableStmt():
            only = node.cmds[0] if len(node.cmds) == 1 else None
            is_finalized = isinstance(only, nodes.AlterTableCmd) and only.subtype == pb.AT_DetachPartitionFinalize
            return is_finalized or is_concurrent(node)
        case nodes.DropStmt() | nodes.IndexStmt():
            return is_concurrent(node)
        case _:
            return False
