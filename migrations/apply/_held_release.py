"""Lets a run go on only while it holds its release: the ledger is asked, and at a commit the guard row too."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from migrations.apply.errors import NotHeld
from migrations.database.time_limits import execute_raw
from migrations.history.guard_row import Fence, guard_raised


class HeldRelease:
    """The release that a run holds, or none.

    Args:
        fence: what keeps a run from going on that has lost its release; None where nobody can take it.
        session: in autocommit, not the one that migrates.
        has_guard: whether the database keeps a guard row.
    """

    def __init__(self, fence: Fence | None, session: psycopg.Connection, *, has_guard: bool) -> None:
        self._fence, self._session = fence, session
        self._holder = fence.holder if fence is not None and has_guard else None

    def refuse_lost(self) -> None:
        """Let nothing more be sent by a run that has lost its release.

        Raises:
            NotHeld: it has, or that cannot be told.
        """
        if self._fence is None:
            return
        try:
            self._fence.check()
        except Exception as error:
            raise NotHeld(error) from error

    def refuse_lost_before_commit(self, session: Any) -> None:
        """Let nothing be committed by a run that has lost its release; until the commit nobody can take it.

        Args:
            session: the driver's connection, about to commit.

        Raises:
            NotHeld: the release is lost, or that cannot be told.

        Locks: the guard row, shared, until the transaction ends.
        """
        self.refuse_lost()
        if self._holder is None or session.info.transaction_status != TransactionStatus.INTRANS:
            return
        if execute_raw(session, self._holder.shared_lock) is None:
            raise NotHeld(guard_raised(self._session, self._holder))
