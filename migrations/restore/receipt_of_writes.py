"""The receipt of a restore: every row that was written since the restore point, by table and key.

The state before the restore stays on a branch. Its rows whose transaction came after the point are looked up in the
restored database: those it lacks were inserted, those that read otherwise were updated. Rows of the point that the
kept branch lacks were deleted; where the counts add up, and nobody has written to the restored table since, there are
none, and no keys are compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import psycopg

from migrations.database.session import reader
from migrations.restore._overwritten_rows import Overwrites
from migrations.restore._receipt_tables import Table, TablePair, read_tables
from migrations.restore._writers import Writers
from migrations.restore._written_rows import WrittenRow, overwritten_row
from migrations.restore.receipt_rows import (
    TransactionsSincePoint,
    count,
    count_restored,
    rows_deleted,
    rows_of_new_table,
    rows_overwritten,
    rows_since,
)
from migrations.restore.restore_point import Seal
from migrations.restore.transaction_snapshot import Snapshot

__all__ = ["Receipt", "TableReceipt", "WrittenRow", "receipt"]

SAMPLE = 5
STATEMENT_TIMEOUT_MS = 900_000


@dataclass(frozen=True)
class TableReceipt:
    """What was written to one table since the point.

    Attributes:
        table: its name, with its schema outside of public.
        inserted: rows that users inserted.
        updated: rows that users updated.
        deleted: rows that are gone; who deleted them cannot be told.
        by_revisions: rows that a revision was the last to write; not among the others.
        sample: the first few of each.
        note: what else is to be known of it.
        unclear: rows that a revision or a user was the last to write, which cannot be told; not among the others.
    """

    table: str
    inserted: int
    updated: int
    deleted: int
    by_revisions: int
    sample: tuple[WrittenRow, ...]
    note: str = ""
    unclear: int = 0


@dataclass(frozen=True)
class Receipt:
    """What was written since the point.

    Attributes:
        tables: tables that were written to, by name.
        file: where every row is listed, one JSON object a line; None where none was asked for.
        note: what cannot be told of any table.
    """

    tables: tuple[TableReceipt, ...]
    file: Path | None = None
    note: str = ""

    @property
    def inserted(self) -> int:
        """Rows that users inserted."""
        return sum(table.inserted for table in self.tables)

    @property
    def updated(self) -> int:
        """Rows that users updated."""
        return sum(table.updated for table in self.tables)

    @property
    def deleted(self) -> int:
        """Rows that are gone."""
        return sum(table.deleted for table in self.tables)

    @property
    def by_revisions(self) -> int:
        """Rows that a revision was the last to write."""
        return sum(table.by_revisions for table in self.tables)

    @property
    def unclear(self) -> int:
        """Rows that a revision or a user was the last to write, which cannot be told."""
        return sum(table.unclear for table in self.tables)


def receipt(restored_dsn: str, kept_dsn: str, seal: Seal, *, to: Path | None = None) -> Receipt:
    """List what was written between a restore point and the restore to it.

    Args:
        restored_dsn: direct connection string of the database that was restored.
        kept_dsn: the same of the branch that keeps the state before the restore.
        seal: the point.
        to: file that every row is written to, as JSON, one a line: table, change, key, and by which revision.

    Returns:
        The counts by table, with a few rows of each.

    Raises:
        DatabaseUnreachable, DatabaseRefused: one of the databases could not be read.

    Locks: AccessShareLock on every table of both, until it is done.
    """
    with (
        reader(restored_dsn, statement_timeout_ms=STATEMENT_TIMEOUT_MS) as restored,
        reader(kept_dsn, statement_timeout_ms=STATEMENT_TIMEOUT_MS) as kept,
        _lines(to) as lines,
    ):
        for connection in (restored, kept):
            # Types and tables are named with their schema, whatever the role's search_path is.
            connection.execute("SET LOCAL search_path = ''")
        since = _transactions_since(restored, kept, seal)
        overwrites = Overwrites.of(kept, since.committed_after_restore_point, since.writers, since.first)
        before, after = read_tables(restored), read_tables(kept)
        by_oid = {one.oid: one for one in before.values()}
        found: list[TableReceipt] = []
        for name, table in after.items():
            # One that was renamed is still the same.
            old = before.get(name) or by_oid.get(table.oid)
            if old is None:
                found.append(_Tally(name, lines).of(_made(kept, table, since, overwrites)))
            else:
                pair = TablePair.of(old, table)
                sealed = seal.row_counts.get(old.readable)
                found.append(_Tally(name, lines).of(_pair(pair, kept, since, overwrites, sealed)))
        stand = {one.oid for one in after.values()}
        gone = [name for name, one in before.items() if name not in after and one.oid not in stand]
        found += [_Tally(name, lines).of(_dropped(restored, before[name])) for name in gone]
    told = sorted((one for one in found if one.sample or one.note), key=lambda one: one.table)
    return Receipt(tuple(told), to, overwrites.note)


def _transactions_since(restored: psycopg.Connection, kept: psycopg.Connection, seal: Seal) -> TransactionsSincePoint:
    row = kept.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    return TransactionsSincePoint(
        restored=restored,
        snapshot=Snapshot.parse(seal.snapshot),
        in_flight=tuple(seal.in_flight_xids),
        next_xid=int(row[0]) if row else 0,
        writers=Writers.of(kept),
    )


def _made(
    kept: psycopg.Connection, table: Table, since: TransactionsSincePoint, overwrites: Overwrites
) -> Iterator[WrittenRow | str]:
    yield f"the table was made since the point, with {count(kept, table)} rows"
    recorded = overwrites.of_table(table.oid, table.key)
    yield from rows_of_new_table(kept, table, since, recorded)
    for values, row in recorded.rows.items():
        yield overwritten_row(table, "inserted", dict(zip(table.key or (), values, strict=True)), row)
    for row in recorded.without_key:
        yield overwritten_row(table, "inserted", {}, row)
    yield from recorded.notes()


def _dropped(restored: psycopg.Connection, table: Table) -> Iterator[str]:
    yield (
        f"the table was dropped since the point, with {count(restored, table)} rows as of the point; "
        "what was written to it between them cannot be told"
    )


def _pair(
    pair: TablePair, kept: psycopg.Connection, since: TransactionsSincePoint, all_: Overwrites, sealed: int | None
) -> Iterator[WrittenRow | str]:
    """The rows of one table that were written, and in words what cannot be said row by row.

    Counts tell only of a table that nobody has written to since the restore: a row that was deleted there would make
    up for one that had been deleted before it.
    """
    overwrites = all_.of_table(pair.kept.oid, pair.key)
    if pair.restored.oid != pair.kept.oid:
        # Another table has its name now; its rows may be copies.
        overwrites.unseen |= all_.of_table(pair.restored.oid, pair.key).unseen
    inserted = 0
    for row in rows_since(kept, pair, since, overwrites):
        inserted += row.change == "inserted"
        yield row
    yield from rows_overwritten(kept, pair, since, overwrites)
    stands, fresh = count_restored(pair, since)
    missing = (stands if sealed is None else sealed) + inserted - count(kept, pair.kept)
    if pair.key and (missing or fresh or stands != sealed):
        for row in rows_deleted(kept, pair, pair.key, since, overwrites):
            missing -= 1
            yield row
        if sealed is not None and fresh and missing > 0:
            yield f"up to {missing} rows more may have been deleted: production has written them since the restore"
    elif pair.key is None and (inserted or missing):
        yield (
            "the table has no key: a row that was updated counts as inserted, "
            f"and {missing} rows were either deleted or updated"
        )
    yield from overwrites.notes()


@dataclass
class _Tally:
    """Counts the rows of one table as they go by, and writes each down."""

    table: str
    lines: TextIO | None
    counts: dict[str, int] = field(default_factory=dict[str, int])
    sample: list[WrittenRow] = field(default_factory=list[WrittenRow])
    notes: list[str] = field(default_factory=list[str])

    def of(self, found: Iterable[WrittenRow | str]) -> TableReceipt:
        for one in found:
            if isinstance(one, str):
                self.notes.append(one)
            else:
                self._row(one)
        return TableReceipt(
            table=self.table,
            inserted=self.counts.get("inserted", 0),
            updated=self.counts.get("updated", 0),
            deleted=self.counts.get("deleted", 0),
            by_revisions=self.counts.get("by revision", 0),
            sample=tuple(self.sample),
            note="; ".join(self.notes),
            unclear=self.counts.get("unclear", 0),
        )

    def _row(self, row: WrittenRow) -> None:
        kind = row.change if row.revision is None else "by revision" if row.certain else "unclear"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= SAMPLE:
            self.sample.append(row)
        if self.lines is not None:
            written = {"table": row.table, "change": row.change, "key": row.key, "revision": row.revision}
            if not row.certain:
                written |= {"certain": False}
            if row.overwritten_by is not None:
                written |= {"overwritten_by": row.overwritten_by}
            self.lines.write(json.dumps(written, ensure_ascii=False) + "\n")


@contextmanager
def _lines(to: Path | None) -> Generator[TextIO | None]:
    if to is None:
        yield None
        return
    # It names rows: one that stands there, of an earlier try, may be readable by others.
    to.unlink(missing_ok=True)
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        yield file
