"""The key of a table: what tells its rows apart."""

from typing import Final

KEY_COLUMNS: Final = """
(SELECT array(SELECT a.attname::text
              FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY k(num, place)
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num ORDER BY k.place)
 FROM pg_index i
 WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
   AND i.indexprs IS NULL
   AND NOT EXISTS (SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k(num)
                   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num WHERE NOT a.attnotnull)
 ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1)
"""
"""The columns of a table c's primary key, or else of a unique index over columns that are not null; null without."""
