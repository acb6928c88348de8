"""Where two states of a table differ, found without carrying their rows: digests of buckets of keys, on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from migrations.restore._receipt_tables import TablePair, key_of

BUCKETS = 1 << 14

_EVERYTHING = sql.SQL("true")


def differing(
    restored: psycopg.Connection,
    kept: psycopg.Connection,
    pair: TablePair,
    key: Sequence[str],
    *,
    columns: Sequence[str] = (),
    at_point: sql.Composable = _EVERYTHING,
) -> sql.Composed:
    """A condition that holds for the rows of every bucket that is not the same in both databases.

    Args:
        restored: session of the restored database.
        kept: session of the kept one.
        pair: the table.
        key: its key.
        columns: columns that are compared too; without, only which keys there are.
        at_point: which rows of the restored database are compared.

    Locks: AccessShareLock on the table in both, for one scan of each.
    """
    before = _digests(restored, pair.restored.identifier, key, columns, at_point)
    after = _digests(kept, pair.kept.identifier, key, columns, _EVERYTHING)
    found = [bucket for bucket in before.keys() | after.keys() if before.get(bucket) != after.get(bucket)]
    return sql.SQL("{} = ANY({})").format(_bucket(key), sql.Literal(found))


def _digests(
    connection: psycopg.Connection,
    table: sql.Identifier,
    key: Sequence[str],
    columns: Sequence[str],
    condition: sql.Composable,
) -> dict[int, tuple[object, ...]]:
    # Sums do not ask for an order, and so for no sort.
    row = sql.SQL("0") if not columns else sql.SQL("hashtextextended(ROW({})::text, 1)").format(_values(columns))
    query = sql.SQL(
        "SELECT {bucket}, count(*), sum({whole}), sum({row}::bigint) FROM {table} r WHERE {condition} GROUP BY 1"
    ).format(bucket=_bucket(key), whole=_hash(key), row=row, table=table, condition=condition)
    return {bucket: tuple(digest) for bucket, *digest in connection.execute(query)}


def _hash(key: Sequence[str]) -> sql.Composed:
    return sql.SQL("hashtextextended({}::text, 0)").format(key_of(key))


def _bucket(key: Sequence[str]) -> sql.Composed:
    return sql.SQL("({} & {})::int").format(_hash(key), sql.Literal(BUCKETS - 1))


def _values(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("r.{}").format(sql.Identifier(column)) for column in columns)
