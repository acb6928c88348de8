"""`op.backfill`: data changed in batches by key, each a transaction of its own, without anyone noticing.

env.py imports this module, which registers the operation with Alembic: revisions import Alembic alone. A batch goes
over the next rows by the order of a unique key, and keeps its position in the same transaction, so that a row is done
exactly once whatever breaks. `batch_sql.py` has the statements, `state.py` the positions, and `pace.py` says
how fast it goes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from alembic.operations import MigrateOperation, Operations
from alembic.runtime.migration import MigrationContext

from migrations.backfill.batch_sql import Backfill
from migrations.backfill.errors import BackfillRefused
from migrations.backfill.progress import BackfillProgress, Surroundings, reporting
from migrations.backfill.runner import Run
from migrations.backfill.state import Direction, Kept, RawSession

__all__ = ["BackfillOp", "BackfillProgress", "Surroundings", "reporting"]

SURROUNDINGS = "backfill"


@Operations.register_operation("backfill")
class BackfillOp(MigrateOperation):
    """The operation as Alembic keeps it."""

    def __init__(self, backfill: Backfill, *, verify: bool) -> None:
        self.asked = backfill
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
        asked = Backfill(table, tuple(values.items()), where or "", source or "", columns, schema or "")
        operations.invoke(cls(asked, verify=verify))


@Operations.implementation_for(BackfillOp)
def run_backfill(operations: Operations, operation: BackfillOp) -> None:
    """Run it; offline, write it as a block of the same effect."""
    context = operations.get_context()
    if not operation.asked.values or not operation.asked.key:
        raise BackfillRefused(operation.asked.name, "it needs a column to set, and a key to go by")
    if moved := [column for column, _ in operation.asked.values if column in operation.asked.key]:
        reason = f"it sets {', '.join(moved)} of the key that it goes by, so that it could meet a row twice"
        raise BackfillRefused(operation.asked.name, f"{reason}: give it another unique key")
    revision, direction = _called_from(operation.asked)
    if context.as_sql:
        with context.autocommit_block():
            context.impl.static_output(operation.asked.block() + context.impl.command_terminator)
        return
    closing = _Closing.of(context)
    number = closing.begun()
    config = context.config
    given: Any = config.attributes.get(SURROUNDINGS) if config is not None else None
    around = cast("Surroundings", given or Surroundings())
    with context.autocommit_block():
        connection = context.connection
        if connection is None:
            raise BackfillRefused(operation.asked.name, "there is no connection")
        kept = Kept(revision, direction, number)
        Run(connection, operation.asked, kept, around, verify=operation.verify).walk()
    closing.close_later(kept)


class _Closing:
    """Notes in the transaction that marks a revision as applied that its backfills have ended."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []
        self._begun = 0

    @classmethod
    def of(cls, context: MigrationContext) -> _Closing:
        """The one of a run of revisions."""
        callbacks: tuple[Any, ...] = tuple(context.on_version_apply_callbacks)
        found = next((one for one in callbacks if isinstance(one, cls)), None)
        if found is None:
            found = cls()
            context.on_version_apply_callbacks = (*callbacks, found)
        return found

    def begun(self) -> int:
        """The number of a backfill that begins, among those of its revision."""
        self._begun += 1
        return self._begun

    def close_later(self, kept: Kept) -> None:
        """Close a backfill with its revision."""
        self._kept.append(kept)

    def __call__(self, *, ctx: Any, **rest: Any) -> None:
        """The revision's version is written: what it went through once, it may go through again."""
        del rest
        for one in self._kept:
            RawSession(ctx.connection.connection.dbapi_connection).send(one.close_statement())
        self._kept.clear()
        self._begun = 0


def _called_from(backfill: Backfill) -> tuple[str, Direction]:
    """The revision that asks, and whether on its way up or back: Alembic tells an operation neither."""
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
