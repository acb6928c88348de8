"""A lock that is waited for without an end."""

from collections.abc import Iterator

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.database_state import DatabaseState
from migrations.sql.locking import is_concurrent, locks
from migrations.sql.statements import Statement


def _rule(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a lock that stops others, taken without a lock_timeout.

    Source: whoever comes after a waiting lock queues behind it, so one long query makes a short ALTER stop everybody.
        CONCURRENTLY is left out: a lock_timeout would leave it half done.
    """
    if state.has_lock_timeout() or is_concurrent(statement.node):
        return
    for one in locks(statement.node):
        if one.stops_writes and state.is_live(one.table):
            yield Subject(one.table, detail=one.mode)


HAZARD = Hazard(
    id="lock-timeout-missing",
    condition="A statement takes a lock that stops others, and no lock_timeout is set.",
    effect="The statement waits without end for its lock on `{table}` ({detail}), and everybody else queues behind it.",
    safe="SET lock_timeout (2 s or less) before it and try again when it runs out; `pilotage apply` does both.",
    bad="ALTER TABLE orders ADD COLUMN note text;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN note text;\n",
    concern="live",
    rule=_rule,
    squawk=("require-lock-timeout",),
)
