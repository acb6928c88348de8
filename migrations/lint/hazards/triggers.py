"""Triggers that are switched off."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import commands
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import constant
from migrations.sql.statements import Statement

_OFF = frozenset(int(one) for one in (pb.AT_DisableTrig, pb.AT_DisableTrigAll, pb.AT_DisableTrigUser))


def _disabled(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See triggers that do not fire. Source: with session_replication_role replica, no ordinary trigger does."""
    node = statement.node
    for table, command in commands(node):
        if command.subtype in _OFF:
            yield Subject(table)
    if (
        isinstance(node, nodes.VariableSetStmt)
        and node.name.lower() == "session_replication_role"
        and node.kind == pb.VAR_SET_VALUE
        and [constant(one) for one in node.args] == ["replica"]
    ):
        yield Subject()


TRIGGERS = Hazard(
    id="trigger-disabled",
    condition="Triggers of a table that is in use are switched off, or all triggers by session_replication_role.",
    effect="Rows written to `{table}` meanwhile, by anybody, go past what its triggers check or keep in step; DISABLE "
    "TRIGGER ALL goes past its foreign keys too.",
    safe="Let the trigger itself look at a setting that only the migrating session has (SET LOCAL).",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders DISABLE TRIGGER ALL;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ENABLE TRIGGER orders_touch;\n",
    concern="live",
    rule=_disabled,
    squawk=("ban-disable-trigger",),
)
