"""A partition that is detached CONCURRENTLY: whether that is done, begun or still to do.

Source: DETACH PARTITION CONCURRENTLY works in two transactions. Cut off between them, the partition is pending: a
second DETACH is refused, and FINALIZE brings it to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import postgast
import psycopg
from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.sql.names import Name

_STATE = b"""
SELECT inhdetachpending FROM pg_inherits WHERE inhparent = to_regclass(%s) AND inhrelid = to_regclass(%s)
"""


@dataclass(frozen=True)
class Detaching:
    """A statement that detaches a partition without stopping others.

    Attributes:
        parent: the table, as SQL names it.
        partition: its partition.
    """

    parent: str
    partition: str

    def has_had_effect(self, session: psycopg.Connection) -> bool:
        """Whether it is no partition any more."""
        return self._state(session) is None

    def instead(self, session: psycopg.Connection) -> str:
        """What brings it to its end where an earlier try got half-way; empty where the statement itself does."""
        finalize = f"ALTER TABLE {self.parent} DETACH PARTITION {self.partition} FINALIZE"
        return finalize if self._state(session) else ""

    def _state(self, session: psycopg.Connection) -> bool | None:
        row = session.execute(_STATE, (self.parent, self.partition)).fetchone()
        return None if row is None else bool(row[0])


@lru_cache(maxsize=200)
def detaching(sql: str) -> Detaching | None:
    """Read a statement; None where it is of another kind."""
    try:
        tree = postgast.wrap(postgast.parse(sql))
    except postgast.PgQueryError:
        return None
    node = tree.stmts[0].stmt if isinstance(tree, nodes.ParseResult) and len(tree.stmts) == 1 else None
    if not isinstance(node, nodes.AlterTableStmt) or node.relation is None or len(node.cmds) != 1:
        return None
    only = node.cmds[0]
    if not isinstance(only, nodes.AlterTableCmd) or not isinstance(only.def_, nodes.PartitionCmd):
        return None
    if not (only.def_.concurrent or only.subtype == pb.AT_DetachPartitionFinalize):
        return None
    return Detaching(_named(node.relation), _named(only.def_.name))


def _named(relation: nodes.RangeVar | None) -> str:
    return "" if relation is None else str(Name(relation.relname, relation.schemaname))
