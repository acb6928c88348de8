"""The SQL of a backfill: its queries, the UPDATE of one batch, and the whole backfill as one DO block."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from migrations.database.literals import literal

BLOCK_BATCH_ROWS = 1000

# A type is written with its modifier: `character` alone is character(1), and would cut keys off.
# Source: ORDER BY goes by the type's default operator class, an operator without a schema by the search_path.
_KEY = """
SELECT format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attcollation = 0 THEN '' ELSE quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END,
       quote_ident(coalesce(o.nspname, 'pg_catalog'))
FROM unnest({key}) WITH ORDINALITY k(name, place)
JOIN pg_attribute a ON a.attrelid = to_regclass({table}) AND a.attname = k.name AND NOT a.attisdropped
LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
LEFT JOIN LATERAL (
    WITH RECURSIVE base(id) AS (
        SELECT a.atttypid
        UNION ALL SELECT t.typbasetype FROM base JOIN pg_type t ON t.oid = base.id WHERE t.typtype = 'd'
    )
    SELECT n.nspname FROM base
    JOIN pg_opclass c ON c.opcintype = base.id AND c.opcdefault
    JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
    JOIN pg_amop p ON p.amopfamily = c.opcfamily AND p.amopstrategy = 5
                  AND p.amoplefttype = base.id AND p.amoprighttype = base.id
    JOIN pg_operator g ON g.oid = p.amopopr JOIN pg_namespace n ON n.oid = g.oprnamespace
) o ON true
ORDER BY k.place
"""
# A unique index over the key and nothing else, in its order, none of whose columns can be NULL.
_TABLE = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), greatest(c.reltuples, 0)::bigint,
       EXISTS (SELECT FROM pg_index i
               WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
                 AND i.indpred IS NULL
                 AND (SELECT array_agg(coalesce(a.attname, '')::text ORDER BY k.place)
                      FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k(number, place)
                      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number AND a.attnotnull
                      WHERE k.place <= i.indnkeyatts) = {key})
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass({table}) AND c.relkind IN ('r', 'p')
"""
_WRITE_COUNT = """
SELECT coalesce(sum(pg_stat_get_xact_tuples_updated(one) + pg_stat_get_xact_tuples_deleted(one)), 0)::bigint
FROM (SELECT to_regclass({table})::oid UNION SELECT relid::oid FROM pg_partition_tree(to_regclass({table}))) t (one)
"""


@dataclass(frozen=True)
class KeyColumn:
    """How the values of a key column are written in SQL, and compared.

    Attributes:
        column_type: its type with its modifier, as SQL.
        collation: its collation as SQL; empty where its type has none.
        operators: the schema of the operators that ORDER BY goes by, as SQL.
    """

    column_type: str
    collation: str
    operators: str

    def value(self, text: str) -> str:
        """A value of this column, from an SQL expression of type text."""
        return f"{text}::{self.column_type}" + (f" COLLATE {self.collation}" if self.collation else "")


@dataclass(frozen=True)
class Backfill:
    """A backfill as a revision asks for it.

    Attributes:
        table: the table, without quotes.
        values: column and SQL expression, in order.
        where: condition of the rows that need it, in SQL; empty for all.
        source: what stands in FROM beside the table, in SQL; empty for nothing.
        key: the columns of a unique key, in the order of its index.
        schema: the table's schema; empty where the search_path finds it.
    """

    table: str
    values: tuple[tuple[str, str], ...]
    where: str = ""
    source: str = ""
    key: tuple[str, ...] = ("id",)
    schema: str = ""

    @property
    def name(self) -> str:
        """The table's name as quoted SQL."""
        return ".".join(quoted_identifier(part) for part in (self.schema, self.table) if part)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key, qualified and quoted."""
        return tuple(f"{quoted_identifier(self.table)}.{quoted_identifier(column)}" for column in self.key)

    @property
    def digest(self) -> str:
        """SHA-256 of its UPDATE statement, hexadecimal."""
        return hashlib.sha256(self.statement("").encode()).hexdigest()

    def statement(self, bounds: str) -> str:
        """The UPDATE of one batch.

        Args:
            bounds: condition that holds for the keys of the batch alone; empty for all rows.
        """
        assigned = ", ".join(f"{quoted_identifier(column)} = {expression}" for column, expression in self.values)
        conditions = " AND ".join(one for one in (bounds, f"({self.where})" if self.where else "") if one)
        return (
            f"UPDATE {self.name} SET {assigned}"  # noqa: S608 - the revision's own SQL.
            + (f" FROM {self.source}" if self.source else "")
            + (f" WHERE {conditions}" if conditions else "")
        )

    def table_query(self) -> str:
        """The query for the table's full name, its estimated rows, and whether the key has a unique index."""
        return _TABLE.format(key=self._key_array, table=literal(self.name))

    def key_query(self) -> str:
        """The query for the type, collation and operators of each key column."""
        return _KEY.format(key=self._key_array, table=literal(self.name))

    def write_count_query(self) -> str:
        """The query for how many rows of the table and its partitions this transaction has updated or deleted."""
        return _WRITE_COUNT.format(table=literal(self.name))

    @property
    def _key_array(self) -> str:
        return f"ARRAY[{', '.join(literal(column) for column in self.key)}]::text[]"

    def last_key_query(self, position: Sequence[str] | None, rows: int, key_columns: Sequence[KeyColumn]) -> str:
        """The query for the end of the next batch.

        It gives the number of its rows, the key of the last of them, whether that key reads the same once it is
        written as a text, and whether it lies above the position.

        Args:
            position: the last key that is done; None before the first batch.
            rows: the most rows of a batch.
            key_columns: how the key is written and compared.
        """
        columns = ", ".join(self.keys)
        condition = f" WHERE {self.after(position, key_columns)}" if position else ""
        picked = f"SELECT {columns} FROM {self.name}{condition} ORDER BY {columns} LIMIT {rows}"  # noqa: S608
        named = [f"k{number}" for number in range(len(self.key))]
        texts = [f"{name}::text" for name in named]
        written = [column.value(text) for column, text in zip(key_columns, texts, strict=True)]
        above = key_comparison(written, ">", _key_literals(position, key_columns), key_columns) if position else "true"
        # Counted as they come: the rows of the inner query are in the order of the key.
        return (
            f"SELECT place, ARRAY[{', '.join(texts)}], {key_comparison(named, '=', written, key_columns)}, {above}"  # noqa: S608
            f" FROM (SELECT row_number() OVER () AS place, p.* FROM ({picked}) p ({', '.join(named)}))"
            " batch ORDER BY place DESC LIMIT 1"
        )

    def after(self, position: Sequence[str], key_columns: Sequence[KeyColumn]) -> str:
        """The condition that a key lies above a position."""
        return key_comparison(self.keys, ">", _key_literals(position, key_columns), key_columns)

    def up_to(self, position: Sequence[str], key_columns: Sequence[KeyColumn]) -> str:
        """The condition that a key lies at or below a position."""
        return key_comparison(self.keys, "<=", _key_literals(position, key_columns), key_columns)

    def remaining_query(self, most: int) -> str:
        """The query for the keys of at most `most` rows that still meet the condition."""
        texts = " || ' ' || ".join(f"{key}::text" for key in self.keys)
        others = f", {self.source}" if self.source else ""
        return f"SELECT {texts} FROM {self.name}{others} WHERE {self.where} LIMIT {most}"  # noqa: S608

    def do_block(self) -> str:
        """The whole backfill as one DO block of the same effect, to be read, linted, and run without Pilotage."""
        numbers = range(len(self.key))
        declared = "".join(
            f"  {way}_{number} {self.name}.{quoted_identifier(self.key[number])}%TYPE;\n"
            for way in ("done", "upto")
            for number in numbers
        )
        done, upto = (", ".join(f"{way}_{number}" for number in numbers) for way in ("done", "upto"))
        columns = ", ".join(self.keys)
        names = ", ".join(f"k{number}" for number in numbers)
        backwards = ", ".join(f"k{number} DESC" for number in numbers)
        above = f"(done_0 IS NULL OR ({columns}) > ({done}))"
        text = (
            f"\nDECLARE\n{declared}BEGIN\n  LOOP\n"  # noqa: S608
            f"    SELECT {names} INTO {upto} FROM (\n"
            f"      SELECT {columns} FROM {self.name} WHERE {above}\n"
            f"      ORDER BY {columns} LIMIT {BLOCK_BATCH_ROWS}) p ({names}) ORDER BY {backwards} LIMIT 1;\n"
            f"    EXIT WHEN NOT FOUND;\n"
            f"    {self.statement(f'{above} AND ({columns}) <= ({upto})')};\n"
            f"    COMMIT;\n"
            + "".join(f"    done_{number} := upto_{number};\n" for number in numbers)
            + "  END LOOP;\nEND\n"
        )
        tag = next(f"${name}$" for name in _tags() if f"${name}$" not in text)
        return f"DO {tag}{text}{tag}"


def quoted_identifier(name: str) -> str:
    """A name as a quoted identifier."""
    return sql.Identifier(name).as_string(None)


def key_comparison(
    left: Sequence[str], sign: Literal["<=", "=", ">"], right: Sequence[str], by: Sequence[KeyColumn]
) -> str:
    """An SQL comparison of two keys, in the order that ORDER BY has.

    Args:
        left: SQL of each column.
        sign: how they are compared.
        right: SQL of each value.
        by: how each column is compared.
    """
    schemas = [column.operators for column in by]
    if len(set(schemas)) == 1:
        return f"({', '.join(left)}) OPERATOR({schemas[0]}.{sign}) ({', '.join(right)})"
    # One comparison of rows knows one schema: the first columns are equal, or they decide.
    first = f"{left[0]} OPERATOR({schemas[0]}.%s) {right[0]}"
    rest = key_comparison(left[1:], sign, right[1:], by[1:])
    if sign == "=":
        return f"({first % '='} AND {rest})"
    # An index knows nothing to do with OR: what comes before says where to begin in it.
    return f"({first % f'{sign[0]}='} AND ({first % sign[0]} OR ({first % '='} AND {rest})))"


def _key_literals(values: Sequence[str], key_columns: Sequence[KeyColumn]) -> list[str]:
    return [column.value(literal(value)) for value, column in zip(values, key_columns, strict=True)]


def _tags() -> itertools.chain[str]:
    return itertools.chain(["backfill"], (f"backfill{number}" for number in itertools.count()))
