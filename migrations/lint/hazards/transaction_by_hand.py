"""Transactions that a statement begins or ends where it should not."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.database_state import DatabaseState
from migrations.sql.statements import Statement

_SAID = {
    int(pb.TRANS_STMT_BEGIN): "BEGIN",
    int(pb.TRANS_STMT_START): "START TRANSACTION",
    int(pb.TRANS_STMT_COMMIT): "COMMIT",
    int(pb.TRANS_STMT_ROLLBACK): "ROLLBACK",
    int(pb.TRANS_STMT_PREPARE): "PREPARE TRANSACTION",
}


def _rule(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See transaction control that nobody expects. The reader of plain SQL keeps back what is in its place."""
    node = statement.node
    if isinstance(node, nodes.TransactionStmt) and node.kind in _SAID:
        yield Subject(name=_SAID[node.kind])


HAZARD = Hazard(
    id="transaction-by-hand",
    condition="A revision begins or ends transactions by itself; or plain SQL begins one in another, ends one that is "
    "not "
    "open, or leaves one open.",
    effect="`{name}` takes the transaction out of the hands of whoever runs this: what came before stays when the rest "
    "fails, or all of it is thrown away without an error.",
    safe="Leave it out; what no transaction can hold goes into `with op.get_context().autocommit_block():`.",
    bad="BEGIN;\nINSERT INTO orders VALUES (1);\n",
    good="BEGIN;\nINSERT INTO orders VALUES (1);\nCOMMIT;\n",
    concern="any",
    rule=_rule,
    squawk=("transaction-nesting", "ban-uncommitted-transaction"),
)
