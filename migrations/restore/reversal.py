"""Whether the revisions of a release can be taken back without losing what was written since."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql

from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.history import overwritten_values
from migrations.restore._writers import Writers

# Each column by its name in the catalogue, with its default, and with what the root of its partitions calls it.
_COLUMNS = """
SELECT CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END || quote_ident(c.relname),
       quote_ident(a.attname), n.nspname, c.relname, a.attname, pg_get_expr(d.adbin, d.adrelid),
       coalesce(pg_partition_root(c.oid), c.oid)::bigint,
       (SELECT r.attnum FROM pg_attribute r
        WHERE r.attrelid = coalesce(pg_partition_root(c.oid), c.oid) AND r.attname = a.attname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
"""


def written_to_additions(connection: psycopg.Connection, before: Catalog) -> tuple[str, ...]:
    """What users have written to the tables and columns that a downgrade would drop.

    Rows that the revisions themselves wrote are told apart by their transaction. Where one of them overwrote what
    somebody else had put there, that no longer tells whose it is.

    Args:
        connection: a session on production that reads.
        before: the catalogue at the restore point.

    Returns:
        A sentence for each table and column that holds something; empty where nothing would be lost.

    Raises:
        psycopg.Error: it could not be told.

    Locks: AccessShareLock on the tables, for one scan of each.
    """
    added = {(one.kind, one.name) for one in difference(before, read_catalog(connection)) if one.change == "added"}
    writers, hidden = Writers.of(connection), overwritten_values.recorded_overwrites(connection)
    found: dict[str, tuple[int, int]] = {}
    for table, column, schema, relation, attribute, default, root, number in connection.execute(_COLUMNS).fetchall():
        where = sql.Identifier(schema, relation)
        if ("table", table) in added:
            if table not in found:
                found[table] = _rows(
                    connection, where, sql.SQL("true"), writers, hides=hidden is None or (root, 0) in hidden
                )
        elif ("column", f"{table}.{column}") in added:
            hides = hidden is None or (root, number) in hidden
            found[f"{table}.{column}"] = _rows(connection, where, _holds(attribute, default), writers, hides=hides)
    return tuple(sentence for name, rows in sorted(found.items()) for sentence in _sentences(name, *rows))


def _sentences(name: str, by_users: int, unclear: int) -> Iterator[str]:
    if by_users:
        yield f"{by_users} rows were written to {name}"
    if unclear:
        yield f"{unclear} rows were written to {name} by the revisions or by users, which cannot be told"


def _holds(column: str, default: str | None) -> sql.Composable:
    """Whether a row has something in the column that its default would not bring back."""
    if default is None:
        return sql.SQL("{} IS NOT NULL").format(sql.Identifier(column))
    # The default is the catalogue's own text, written as PostgreSQL writes it.
    return sql.SQL("{} IS DISTINCT FROM ({})").format(sql.Identifier(column), sql.SQL(default))  # pyright: ignore[reportArgumentType]


def _rows(
    connection: psycopg.Connection, table: sql.Identifier, condition: sql.Composable, writers: Writers, *, hides: bool
) -> tuple[int, int]:
    """How many rows users wrote, and how many either they or the revisions."""
    own, unclear = writers.is_own(), writers.is_unclear()
    if hides:
        own, unclear = sql.SQL("false"), sql.SQL("({} OR {})").format(own, unclear)
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE NOT {unclear}), count(*) FILTER (WHERE {unclear})"
        " FROM {table} WHERE ({condition}) AND NOT {own}"
    ).format(unclear=unclear, own=own, table=table, condition=condition)
    row = connection.execute(query).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
