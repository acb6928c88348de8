"""Whether the revisions of a release can be taken back without losing what was written since."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from migrations import applied
from migrations.catalog import Catalog, difference, read_catalog

_XID_BITS = 2**32

# Each column by its name in the catalogue, with its default.
_COLUMNS = """
SELECT CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END || quote_ident(c.relname),
       quote_ident(a.attname), n.nspname, c.relname, a.attname, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
"""


def written_to_additions(connection: psycopg.Connection, before: Catalog) -> tuple[str, ...]:
    """What users have written to the tables and columns that a downgrade would drop.

    Rows that the revisions themselves wrote are told apart by their transaction.

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
    revisions = sorted({xid % _XID_BITS for xid in applied.transactions(connection).values()})
    found: dict[str, int] = {}
    for table, column, schema, relation, attribute, default in connection.execute(_COLUMNS).fetchall():
        where = sql.Identifier(schema, relation)
        if ("table", table) in added:
            if table not in found:
                found[table] = _rows(connection, where, sql.SQL("true"), revisions)
        elif ("column", f"{table}.{column}") in added:
            found[f"{table}.{column}"] = _rows(connection, where, _holds(attribute, default), revisions)
    return tuple(f"{rows} rows were written to {name}" for name, rows in sorted(found.items()) if rows)


def _holds(column: str, default: str | None) -> sql.Composable:
    """Whether a row has something in the column that its default would not bring back."""
    if default is None:
        return sql.SQL("{} IS NOT NULL").format(sql.Identifier(column))
    # The default is the catalogue's own text, written as PostgreSQL writes it.
    return sql.SQL("{} IS DISTINCT FROM ({})").format(sql.Identifier(column), sql.SQL(default))  # pyright: ignore[reportArgumentType]


def _rows(
    connection: psycopg.Connection, table: sql.Identifier, condition: sql.Composable, revisions: Sequence[int]
) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE ({}) AND NOT (xmin::text::bigint = ANY(%s))").format(
        table, condition
    )
    row = connection.execute(query, (list(revisions),)).fetchone()
    return int(row[0]) if row else 0
