"""`op.backfill`: data changed in batches by key, each a transaction of its own, without anyone noticing.

env.py imports this module, which registers the operation with Alembic: revisions import Alembic alone. A batch goes
updates the next rows in the order of a unique key, and stores its position in the same transaction, so that each row is
updated exactly once whatever breaks. `batch_statements.py` has the statements, `positions.py` the stored positions,
`throttle.py` the size of the batches and the pauses between them, and `records.py` what commands show and set.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from alembic.operations import MigrateOperation, Operations
from alembic.runtime.migration import MigrationContext

from migrations.backfill.batch_statements import Backfill
from migrations.backfill.errors import BackfillRefused
from migrations.backfill.positions import Direction, RawSession, StoredPosition
from migrations.backfill.progress import BackfillContext, BackfillProgress, reporting_progress
from migrations.backfill.runner import BackfillRun

__all__ = ["BackfillOp", "BackfillProgress", "BackfillContext", "reporting_progress"]

BACKFILL_CONTEXT = "backfill"


@Operations.register_operation("backfill")
class BackfillOp(MigrateOperation):
    """A backfill as an operation of Alembic."""

    def __init__(self, backfill: Backfill, *, verify: bool) -> None:
        self.request = backfill
        self.verify = verify

    @classmethod
    def backfill(
        cls,
        operations: Operations,
        table: str,
        values: Mapping[str, str],
        *,
        where: str | None = None,
        source: str | None = None,
        key: str | Sequence[str] = "id",
        schema: str | None = None,
        verify: bool = True,
    ) -> None:
        """Set columns of all rows of a table, in batches, each a transaction of its own.

        It works outside of the revision's transaction, so that it is best alone in its revision. Rows that are written
        meanwhile with keys behind the batches are filled in by a trigger or a default of a revision before.

        Args:
            operations: Alembic's, given by `op`.
            table: the table.
            values: column, and the SQL expression that it is set to.
            where: SQL condition of the rows that need it. In the end no row may meet it, unless `verify` is off.
            source: what else stands in FROM, as `users r`; the condition joins it.
            key: the columns of a unique key, in the order of its index: batches go by it.
            schema: the table's schema; the search_path finds it without.
            verify: whether to look in the end that no row meets `where` any more.

        Raises:
            BackfillRefused, BackfillChanged, BackfillLost, BackfillIncomplete, BackfillStopped: as
                `migrations/backfill/errors.py` says.
            LockBudgetExceeded: others held its rows for too long.
            RevisionFailed: a batch raised; those before it stand.

        Locks: RowExclusiveLock on the table and FOR NO KEY UPDATE on the rows of a batch (FOR UPDATE where a key
            column is set), until the batch ends; AccessShareLock on what the expressions read.
        """
        columns = (key,) if isinstance(key, str) else tuple(key)
        request = Backfill(table, tuple(values.items()), where or "", source or "", columns, schema or "")
        operations.invoke(cls(request, verify=verify))


@Operations.implementation_for(BackfillOp)
def run_backfill(operations: Operations, operation: BackfillOp) -> None:
    """Run a backfill; in offline mode, write it as one DO block of the same effect."""
    context = operations.get_context()
    if not operation.request.values or not operation.request.key:
        raise BackfillRefused(operation.request.name, "it needs a column to set, and a key to go by")
    if moved := [column for column, _ in operation.request.values if column in operation.request.key]:
        reason = f"it sets {', '.join(moved)} of the key that it goes by, so that it could meet a row twice"
        raise BackfillRefused(operation.request.name, f"{reason}: give it another unique key")
    revision, direction = _calling_revision(operation.request)
    if context.as_sql:
        with context.autocommit_block():
            context.impl.static_output(operation.request.do_block() + context.impl.command_terminator)
        return
    closer = _CloseWithRevision.of(context)
    number = closer.next_number()
    config = context.config
    attribute: Any = config.attributes.get(BACKFILL_CONTEXT) if config is not None else None
    backfill_context = cast("BackfillContext", attribute or BackfillContext())
    with context.autocommit_block():
        connection = context.connection
        if connection is None:
            raise BackfillRefused(operation.request.name, "there is no connection")
        position = StoredPosition(revision, direction, number)
        BackfillRun(connection, operation.request, position, backfill_context, verify=operation.verify).run()
    closer.close_later(position)


class _CloseWithRevision:
    """Closes the backfills of a revision in the transaction that writes its version: a callback of Alembic."""

    def __init__(self) -> None:
        self._positions: list[StoredPosition] = []
        self._count = 0

    @classmethod
    def of(cls, context: MigrationContext) -> _CloseWithRevision:
        """The callback of this context; registered where it is not yet."""
        callbacks: tuple[Any, ...] = tuple(context.on_version_apply_callbacks)
        found = next((one for one in callbacks if isinstance(one, cls)), None)
        if found is None:
            found = cls()
            context.on_version_apply_callbacks = (*callbacks, found)
        return found

    def next_number(self) -> int:
        """The number of a backfill that begins, counted from 1 within its revision."""
        self._count += 1
        return self._count

    def close_later(self, position: StoredPosition) -> None:
        """Close a backfill when the version of its revision is written."""
        self._positions.append(position)

    def __call__(self, *, ctx: Any, **rest: Any) -> None:
        """The revision's version is written: when the revision runs another time, its backfills begin anew."""
        del rest
        for one in self._positions:
            RawSession(ctx.connection.connection.dbapi_connection).send(one.closing_statement())
        self._positions.clear()
        self._count = 0


def _calling_revision(backfill: Backfill) -> tuple[str, Direction]:
    """The revision that calls, and its direction, read from the call stack: Alembic tells an operation neither."""
    frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        name, revision = frame.f_code.co_name, frame.f_globals.get("revision")
        if isinstance(revision, str) and "down_revision" in frame.f_globals:
            if name == "upgrade":
                return revision, "upgrade"
            if name == "downgrade":
                return revision, "downgrade"
        frame = frame.f_back
    raise BackfillRefused(backfill.name, "it is called neither in upgrade() nor in downgrade() of a revision")
