"""A row that was written since a restore point, and whoever is to be named for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from migrations.restore._overwritten_rows import Overwritten, TableOverwrites
from migrations.restore._receipt_tables import Table
from migrations.restore._writers import Writer

Change = Literal["inserted", "updated", "deleted"]


@dataclass(frozen=True)
class WrittenRow:
    """A row that was written since the point.

    Attributes:
        table: its table.
        change: inserted, updated or deleted.
        key: its key as texts, by column; empty where the table has none.
        revision: the revision that wrote it last, or may have; None where it was a user.
        certain: whether it can be told who wrote it.
        overwritten_by: the revision that wrote it afterwards, or deleted it.
    """

    table: str
    change: Change
    key: dict[str, str]
    revision: str | None = None
    certain: bool = True
    overwritten_by: str | None = None


def written_row(
    table: Table,
    change: Change,
    key: dict[str, str],
    writer: Writer,
    before: Overwritten | None,
    overwrites: TableOverwrites,
) -> WrittenRow:
    """A row that was written, by whoever is to be named: a user whom a revision has overwritten goes before it.

    Args:
        writer: who wrote it last.
        before: what is recorded of it.
        overwrites: what was overwritten in the table.
    """
    overwritten_by: str | None = None
    if writer.revision is not None:
        if before is not None:
            writer, overwritten_by = before.writer, before.revision
        else:
            writer = overwrites.by_revision(writer)
    return WrittenRow(table.readable, change, key, writer.revision, writer.certain, overwritten_by)


def overwritten_row(table: Table, change: Change, key: dict[str, str], row: Overwritten) -> WrittenRow:
    """A row that a user had written, and a revision has overwritten or deleted."""
    return WrittenRow(table.readable, change, key, row.writer.revision, row.writer.certain, row.revision)
