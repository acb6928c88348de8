"""Rows of a table that were written since a restore point: found by their transaction, told apart by their key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from migrations.restore._overwritten_rows import TableOverwrites
from migrations.restore._receipt_buckets import differing
from migrations.restore._receipt_tables import Table, TablePair, by_key, digest_of, key_of
from migrations.restore._writers import Writers
from migrations.restore._written_rows import Change, WrittenRow, overwritten_row, written_row
from migrations.restore.transaction_snapshot import Snapshot, full_xid

BATCH = 1000
# From here on, comparing digests of the whole table is cheaper than looking up each row.
MANY = 20_000
_EPOCH = 1 << 32


@dataclass
class TransactionsSincePoint:
    """Which transactions committed after the restore point, as far as the kept database knows.

    Attributes:
        restored: session of the restored database.
        snapshot: what was committed at the point.
        in_flight: transactions that had begun at the point and went on.
        next_xid: the first id that the kept database has not given out.
        writers: which transactions are those of revisions.
    """

    restored: psycopg.Connection
    snapshot: Snapshot
    in_flight: tuple[int, ...]
    next_xid: int
    writers: Writers
    _status: dict[int, bool] = field(default_factory=dict[int, bool])

    @property
    def first(self) -> int:
        """The oldest transaction that may have committed after the restore point."""
        return min((*self.in_flight, self.snapshot.xmax))

    def committed_after_restore_point(self, xid: int) -> bool:
        """Whether a transaction that committed did so after the restore point.

        One that was in flight may have written its commit record just before it: the restored database knows. A
        savepoint's id is not among those in flight, so every id since the oldest of them is asked for.
        """
        if xid >= self.snapshot.xmax:
            return True
        if not self.in_flight or xid < self.first:
            return False
        if xid not in self._status:
            row = self.restored.execute("SELECT pg_xact_status(%s::text::xid8)", (xid,)).fetchone()
            self._status[xid] = row is not None and row[0] == "committed"
        return not self._status[xid]


def rows_since(
    kept: psycopg.Connection, pair: TablePair, since: TransactionsSincePoint, overwrites: TableOverwrites
) -> Iterator[WrittenRow]:
    """Rows that the kept database has and that were written since the point.

    Rows that read the same at the point are left out: an ALTER that rewrites its table marks every row. Not so those of
    users where the tables differ in their columns: what they wrote may stand in those.

    Args:
        overwrites: what was overwritten in the table; those that are found are taken out.
    """
    key = pair.key
    if key is None:
        yield from _without_key(kept, pair.kept, since, overwrites)
        return
    for batch in _batches(kept, "written", _written(kept, pair, key, since)):
        told = [(full_xid(x, near=since.next_xid), tuple[str, ...](values), digest) for x, values, digest in batch]
        fresh = [row for row in told if since.committed_after_restore_point(row[0])]
        there = digests(since.restored, pair.restored, key, pair.columns, [values for _, values, _ in fresh])
        for xid, values, digest in fresh:
            writer = since.writers.who(xid)
            before = overwrites.rows.pop(values, None)
            if writer.revision is not None and values in there:
                overwrites.stood_before(writer)
            by_user = writer.revision is None or not writer.certain
            is_same = there.get(values) == digest
            if is_same and (writer.revision is None or before is None) and not (by_user and not pair.has_same_columns):
                continue
            change: Change = "updated" if values in there else "inserted"
            yield written_row(pair.kept, change, dict(zip(key, values, strict=True)), writer, before, overwrites)


def rows_of_new_table(
    kept: psycopg.Connection, table: Table, since: TransactionsSincePoint, overwrites: TableOverwrites
) -> Iterator[WrittenRow]:
    """Rows that users have, or may have, written to a table that was made since the point."""
    key = table.key or ()
    query = sql.SQL("SELECT r.xmin::text::bigint, {}::text[] FROM {} r").format(key_of(key), table.identifier)
    for batch in _batches(kept, "written", query):
        for xid, values in batch:
            writer = since.writers.who(full_xid(xid, near=since.next_xid))
            before = overwrites.rows.pop(tuple(values), None)
            row = written_row(table, "inserted", dict(zip(key, values, strict=True)), writer, before, overwrites)
            if row.revision is None or not row.certain:
                yield row


def _written(
    kept: psycopg.Connection, pair: TablePair, key: tuple[str, ...], since: TransactionsSincePoint
) -> sql.Composed:
    """The query for the rows that may have been written since the point."""
    recent: sql.Composed = _recent(since.first, since.next_xid)
    if _count(kept, pair.kept, recent) > MANY:
        changed = differing(since.restored, kept, pair, key, columns=pair.columns)
        if not pair.has_same_columns:
            changed = sql.SQL("({} OR NOT {})").format(changed, since.writers.is_own())
        recent = sql.SQL("{} AND {}").format(recent, changed)
    return sql.SQL("SELECT r.xmin::text::bigint, {}, {} FROM {} r WHERE {}").format(
        key_of(key), digest_of(pair.columns), pair.kept.identifier, recent
    )


def _without_key(
    kept: psycopg.Connection, table: Table, since: TransactionsSincePoint, overwrites: TableOverwrites
) -> Iterator[WrittenRow]:
    query = sql.SQL("SELECT r.xmin::text::bigint FROM {} r WHERE {}").format(
        table.identifier, _recent(since.first, since.next_xid)
    )
    for batch in _batches(kept, "written", query):
        for (x,) in batch:
            xid = full_xid(x, near=since.next_xid)
            if since.committed_after_restore_point(xid):
                yield written_row(table, "inserted", {}, since.writers.who(xid), None, overwrites)


def rows_overwritten(
    kept: psycopg.Connection, pair: TablePair, since: TransactionsSincePoint, overwrites: TableOverwrites
) -> Iterator[WrittenRow]:
    """Rows that users had written, and of which nothing shows in the kept database: gone, or as they were before.

    Args:
        overwrites: what was overwritten, and not found so far.
    """
    key = pair.key or ()
    left = list(overwrites.rows.items())
    for place in range(0, len(left), BATCH):
        part = dict(left[place : place + BATCH])
        there = digests(since.restored, pair.restored, key, (), list(part))
        stands = digests(kept, pair.kept, key, (), list(part))
        for values, row in part.items():
            # Those that stood at the point and are gone are listed as deleted.
            if values in there and values not in stands:
                continue
            change: Change = "updated" if values in there else "inserted"
            yield overwritten_row(pair.kept, change, dict(zip(key, values, strict=True)), row)
    for row in overwrites.without_key:
        yield overwritten_row(pair.kept, "inserted", {}, row)


def rows_deleted(
    kept: psycopg.Connection,
    pair: TablePair,
    columns: tuple[str, ...],
    since: TransactionsSincePoint,
    overwrites: TableOverwrites,
) -> Iterator[WrittenRow]:
    """Rows that stood at the point and that the kept database has no more: both sides' keys, in one order."""
    query = sql.SQL("SELECT {} FROM {} r WHERE {} ORDER BY {}")
    key, order = key_of(columns), by_key(columns)
    # Rows that were written after the restore are none of the point's.
    at_point: sql.Composed = sql.SQL("NOT ({})").format(_since_restore(since))
    changed = differing(since.restored, kept, pair, columns, at_point=at_point)
    at_point = sql.SQL("{} AND {}").format(at_point, changed)
    before = _keys(since.restored, query.format(key, pair.restored.identifier, at_point, order))
    after = _keys(kept, query.format(key, pair.kept.identifier, changed, order))
    other = next(after, None)
    for one in before:
        while other is not None and other < one:
            other = next(after, None)
        if other != one:
            # Of one that a user had written before, the revision is known that deleted it.
            before = overwrites.rows.get(one)
            by = None if before is None else before.revision
            named = dict(zip(columns, one, strict=True))
            yield WrittenRow(pair.kept.readable, "deleted", named, overwritten_by=by)


def count(connection: psycopg.Connection, table: Table) -> int:
    """How many rows a table has."""
    return _count(connection, table, sql.SQL("true"))


def count_restored(pair: TablePair, since: TransactionsSincePoint) -> tuple[int, int]:
    """How many rows the restored table has, and how many of them were written since the restore."""
    query = sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}) FROM {} r")
    row = since.restored.execute(query.format(_since_restore(since), pair.restored.identifier)).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _since_restore(since: TransactionsSincePoint) -> sql.Composed:
    """A row of the restored database that was written after the point, and so after the restore."""
    row = since.restored.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    first = since.snapshot.xmax
    return _recent(first, max(int(row[0]) if row else first, first))


def _count(connection: psycopg.Connection, table: Table, condition: sql.Composable) -> int:
    query = sql.SQL("SELECT count(*) FROM {} r WHERE {}").format(table.identifier, condition)
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _recent(first: int, beyond: int) -> sql.Composed:
    """A row whose transaction lies in a range; ids of rows have no epoch, so the distance is what counts."""
    return sql.SQL("(r.xmin::text::bigint - {low} + {epoch}) % {epoch} < {span}").format(
        low=sql.Literal(first % _EPOCH), epoch=sql.Literal(_EPOCH), span=sql.Literal(beyond - first)
    )


def digests(
    connection: psycopg.Connection,
    table: Table,
    key: tuple[str, ...],
    columns: Sequence[str],
    wanted: Sequence[tuple[str, ...]],
) -> dict[tuple[str, ...], bytes]:
    """The digests of columns of rows, by key; without those that are not there."""
    if not wanted or not key:
        return {}
    matches = sql.SQL(" AND ").join(
        sql.SQL("r.{} = w.{}::{}").format(sql.Identifier(name), sql.Identifier(f"k{place}"), table.type_of(name))
        for place, name in enumerate(key)
    )
    arrays = sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(key))
    names = sql.SQL(", ").join(sql.Identifier(f"k{place}") for place in range(len(key)))
    query = sql.SQL("SELECT {}, {} FROM unnest({}) w({}) JOIN {} r ON {}").format(
        key_of(key), digest_of(columns), arrays, names, table.identifier, matches
    )
    values = [list(column) for column in zip(*wanted, strict=True)]
    return {tuple(found): digest for found, digest in connection.execute(query, values)}


def _keys(connection: psycopg.Connection, query: sql.Composed) -> Iterator[tuple[str, ...]]:
    for batch in _batches(connection, "keys", query):
        for (values,) in batch:
            yield tuple(values)


def _batches(connection: psycopg.Connection, name: str, query: sql.Composed) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query, a batch at a time, however many there are."""
    with connection.cursor(name) as cursor:
        cursor.execute(query)
        while batch := cursor.fetchmany(BATCH):
            yield batch
