"""A statement that got no lock after a part of its revision stands: it alone is sent again, since that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from migrations.apply._autocommit import AutocommitStatements
from migrations.apply._failures import is_contended
from migrations.database.time_limits import execute_raw

Pause = Callable[[Exception, int], None]


def send_until_locked(
    session: Any, send: Callable[[], None], autocommit: AutocommitStatements, pause: Callable[[Exception], None]
) -> None:
    """Send a statement until it gets its locks; a try that got none leaves nothing.

    Args:
        session: the driver's connection.
        send: sends it.
        autocommit: takes back what was tried outside a transaction; in one a savepoint does.
        pause: waits before the next try, or raises where there is none.
    """
    in_transaction = not session.autocommit
    while True:
        if in_transaction:
            execute_raw(session, "SAVEPOINT pilotage_try")
        try:
            send()
        except Exception as error:
            if not is_contended(error):
                raise
            if in_transaction:
                execute_raw(session, "ROLLBACK TO SAVEPOINT pilotage_try")
            elif not autocommit.undo_for_resend(session):
                raise
            pause(error)
        else:
            break
    if in_transaction:
        execute_raw(session, "RELEASE SAVEPOINT pilotage_try")
