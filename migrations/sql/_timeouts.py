"""Whether a lock_timeout is set, for the session or for the transaction."""

from __future__ import annotations

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.sql.database_state import DatabaseState
from migrations.sql.names import constant, strings


def set_by(state: DatabaseState, node: nodes.VariableSetStmt) -> None:
    """Let a SET or RESET have happened.

    Source: RESET goes back to what the session began with, and so past any SET of whoever runs the statements.
    """
    if node.kind == pb.VAR_RESET_ALL or (node.kind in {pb.VAR_RESET, pb.VAR_SET_DEFAULT} and _is_timeout(node.name)):
        _limit(state, "0", local=node.is_local)
    elif node.kind == pb.VAR_SET_VALUE and _is_timeout(node.name):
        values = [constant(one) for one in node.args]
        _limit(state, str(values[0]) if values else "", local=node.is_local)


def set_by_function(state: DatabaseState, call: nodes.FuncCall) -> None:
    """Let a call have happened, which may be one of set_config()."""
    values = [constant(one) for one in call.args]
    if strings(call.funcname)[-1:] == ("set_config",) and len(values) == 3 and _is_timeout(str(values[0])):
        _limit(state, str(values[1]), local=bool(values[2]))


def _is_timeout(name: str) -> bool:
    return name.lower() == "lock_timeout"


def _limit(state: DatabaseState, value: str, *, local: bool) -> None:
    limited = value.strip("'").rstrip("minsuhd ") not in {"0", "0.0", "-1", ""}
    if local:
        if state.transaction.number is not None:
            state.transaction.lock_timeout = limited
    else:
        state.session_lock_timeout = limited
        state.transaction.lock_timeout = limited if state.transaction.number is not None else None
