"""Whether a statement can be repeated that was interrupted outside a transaction, read from its text."""

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
from migrations.sql.procedural import may_end_transactions

Kind = Literal["repeatable", "verifiable", "transactional", "unrepeatable"]

# The placeholders of the drivers for values.
_PLACEHOLDER = re.compile(r"%\(\w+\)s|%s")
_REPEATABLE = (
    nodes.CheckPointStmt,
    nodes.ClusterStmt,
    nodes.RefreshMatViewStmt,
    nodes.ReindexStmt,
    nodes.VacuumStmt,
    nodes.VariableSetStmt,
    nodes.VariableShowStmt,
)
# Source: the commands that PostgreSQL refuses in a transaction block, by their pages; CALL may commit.
_NOT_IN_TRANSACTION_BLOCK = (
    *_REPEATABLE,
    nodes.AlterDatabaseStmt,
    nodes.AlterSubscriptionStmt,
    nodes.AlterSystemStmt,
    nodes.CallStmt,
    nodes.CreateSubscriptionStmt,
    nodes.CreateTableSpaceStmt,
    nodes.CreatedbStmt,
    nodes.DiscardStmt,
    nodes.DropSubscriptionStmt,
    nodes.DropTableSpaceStmt,
    nodes.DropdbStmt,
    nodes.TransactionStmt,
)
_MAY_COMMIT = (nodes.CallStmt, nodes.TransactionStmt)
_COMMITS = frozenset({int(pb.TRANS_STMT_COMMIT), int(pb.TRANS_STMT_PREPARE)})


@dataclass(frozen=True)
class Repeatability:
    """Whether a statement that was interrupted can be repeated.

    Attributes:
        kind: `repeatable`: running it twice has the same effect as running it once. `verifiable`: the catalogue tells
            whether it took effect, once it is known to have begun. `transactional`: it can run in a transaction,
            together with the note of it. `unrepeatable`: none of these.
        commits: whether it commits the transaction that it stands in.
        may_commit: whether a part of it may stay committed though it fails.
        normalized: its normalized text, without the values that it writes.
    """

    kind: Kind
    commits: bool = False
    may_commit: bool = False
    normalized: str = ""


@lru_cache(maxsize=1000)
def repeatability_of(sql: str) -> Repeatability:
    """Read a text as it is given to the driver; one that cannot be parsed counts as unrepeatable."""
    readable = _PLACEHOLDER.sub("NULL", sql)
    try:
        tree = postgast.wrap(postgast.parse(readable))
        normalized = postgast.normalize(readable)
    except postgast.PgQueryError:
        return Repeatability(
            "unrepeatable", may_commit=True, normalized=sql.split(maxsplit=1)[0] if sql.strip() else ""
        )
    stmts = tree.stmts if isinstance(tree, nodes.ParseResult) else []
    parts = [one.stmt for one in stmts if one.stmt is not None]
    return Repeatability(
        _kind(parts),
        any(isinstance(one, nodes.TransactionStmt) and int(one.kind) in _COMMITS for one in parts),
        any(_may_commit(one) for one in parts),
        " ".join(normalized.split())[:200],
    )


def _kind(parts: list[AstNode]) -> Kind:
    if all(_is_repeatable(one) for one in parts):
        return "repeatable"
    if len(parts) == 1 and _is_verifiable(parts[0]):
        return "verifiable"
    needs_autocommit = any(
        isinstance(one, _NOT_IN_TRANSACTION_BLOCK) or is_concurrent(one) or _may_commit(one) for one in parts
    )
    return "unrepeatable" if needs_autocommit else "transactional"


def _may_commit(node: AstNode) -> bool:
    return may_end_transactions(node) if isinstance(node, nodes.DoStmt) else isinstance(node, _MAY_COMMIT)


def _is_repeatable(node: AstNode) -> bool:
    match node:
        case nodes.AlterEnumStmt():
            return node.skip_if_new_val_exists
        case nodes.IndexStmt():
            return node.concurrent and bool(node.idxname)
        case _:
            return isinstance(node, _REPEATABLE)


def _is_verifiable(node: AstNode) -> bool:
    match node:
        case nodes.AlterTableStmt():
            only = node.cmds[0] if len(node.cmds) == 1 else None
            is_finalized = isinstance(only, nodes.AlterTableCmd) and only.subtype == pb.AT_DetachPartitionFinalize
            return is_finalized or is_concurrent(node)
        case nodes.DropStmt() | nodes.IndexStmt():
            return is_concurrent(node)
        case _:
            return False
