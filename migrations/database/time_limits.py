"""How long a statement may wait, and how long it may run: by what it does to others meanwhile.

Source: a lock_timeout or statement_timeout would make CREATE INDEX CONCURRENTLY give up half-way, and leave an invalid
index. Inside a transaction either leaves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrations.database.raw_statements import unhooked_cursor
from migrations.database.requested_locks import RESETS_ALL, RequestedLocks
from migrations.database.session_settings import UNLIMITED, settling

STATEMENT_TIMEOUT_S = 5.0


class TimeLimits:
    """Sets lock_timeout and statement_timeout from outside a revision.

    A statement that stops others may run for a short time alone. One that reads and checks under a weak lock (VALIDATE
    CONSTRAINT, a backfill) may take as long as it takes, and so may a build CONCURRENTLY.

    Args:
        lock_ms: milliseconds to wait for a lock.
        statement_ms: milliseconds that a statement which stops others may run; 0 for no limit.
    """

    def __init__(self, lock_ms: int, statement_ms: int) -> None:
        self._lock_ms = lock_ms
        self._statement_ms = statement_ms
        self._set: dict[str, int] = {}
        self._session: Any = None
        self._left_alone: frozenset[str] = frozenset()
        self._may_have_changed = False
        self._is_reset = False

    @property
    def statement_ms(self) -> int:
        """What limits the statement that runs now; 0 for nothing of ours."""
        return self._set.get("statement_timeout", 0)

    def begin(self) -> None:
        """Begin a revision; where the one before it may have set something itself, know nothing of what is set."""
        if self._may_have_changed:
            self.forget()
        self._left_alone, self._may_have_changed = frozenset(), False

    def forget(self) -> None:
        """Know nothing of what is set: a rollback took it back, or the session is another one."""
        self._set.clear()

    def set(
        self, session: Any, requested: RequestedLocks, *, in_autocommit: bool, stops_others: bool, is_mark: bool = False
    ) -> None:
        """Set what holds for a statement.

        Args:
            session: the driver's connection, which will send it.
            requested: what the statement asks for.
            in_autocommit: whether it works outside a transaction.
            stops_others: whether somebody may have to wait for its end.
            is_mark: whether it marks the revision: it writes one row, and what stopped others before it still does.
        """
        if session is not self._session or self._is_reset:
            self.forget()
            self._session = session
        self._is_reset = RESETS_ALL in requested.sets
        # Only of a lone statement of a known kind it is certain that it sets nothing.
        self._may_have_changed = self._may_have_changed or not (requested.atomic or requested.exempt_from_timeouts)
        # A revision that says itself how long it may take knows better; how long it waits for a lock is ours to say.
        for name in requested.sets & {"statement_timeout", *UNLIMITED}:
            self._left_alone |= {name}
            self._set.pop(name, None)
        unhurried = requested.exempt_from_timeouts or (in_autocommit and not requested.locks)
        hold = {
            "lock_timeout": 0 if unhurried else self._lock_ms,
            "statement_timeout": self._statement_ms if stops_others and not requested.exempt_from_timeouts else 0,
            # The revision before it may have taken back what the session was settled to.
            **UNLIMITED,
        }
        if is_mark:
            del hold["statement_timeout"]
        if missing := self._missing(hold):
            execute_raw(session, settling(missing))
            self._set |= missing

    def lifting(self) -> str:
        """What is to be sent before a record of ours, which is not to be cut off; empty where nothing would do that."""
        missing = self._missing({"statement_timeout": 0})
        self._set |= missing
        return settling(missing) if missing else ""

    def _missing(self, hold: Mapping[str, int]) -> dict[str, int]:
        return {
            name: value_ms
            for name, value_ms in hold.items()
            if name not in self._left_alone and self._set.get(name) != value_ms
        }


def execute_raw(session: Any, statement: str) -> Any:
    """Send a statement past SQLAlchemy, whatever the driver is; the first column of its first row."""
    cursor = unhooked_cursor(session)
    try:
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()
    return row[0] if row else None
