"""The statements of a backfill: what one batch does, and the whole of it as a block to read."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from migrations.database.literals import literal

SHOWN_ROWS = 1000

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
_SHAPE = """
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
_WRITTEN = """
SELECT coalesce(sum(pg_stat_get_xact_tuples_updated(one) + pg_stat_get_xact_tuples_deleted(one)), 0)::bigint
FROM (SELECT to_regclass({table})::oid UNION SELECT relid::oid FROM pg_partition_tree(to_regclass({table}))) t (one)
"""


@dataclass(frozen=True)
class KeyColumn:
    """How the values of a column of the key are written, and compared.

    Attributes:
        kind: its type with its modifier, as SQL.
        collation: its collation as SQL; empty where its type has none.
        operators: the schema of the operators that ORDER BY goes by, as SQL.
    """

    kind: str
    collation: str
    operators: str

    def value(self, text: str) -> str:
        """A value that is given as SQL of a text."""
        return f"{text}::{self.kind}" + (f" COLLATE {self.collation}" if self.collation else "")


@dataclass(frozen=True)
class Backfill:
    """What a revision asks for.

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
        """The table as SQL names it."""
        return ".".join(quoted(part) for part in (self.schema, self.table) if part)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key as SQL names them."""
        return tuple(f"{quoted(self.table)}.{quoted(column)}" for column in self.key)

    @property
    def digest(self) -> str:
        """SHA-256 of what it does to a row, hexadecimal."""
        return hashlib.sha256(self.statement("").encode()).hexdigest()

    def statement(self, bounds: str) -> str:
        """What one batch does.

        Args:
            bounds: condition that holds for the keys of the batch alone; empty for all rows.
        """
        assigned = ", ".join(f"{quoted(column)} = {expression}" for column, expression in self.values)
        conditions = " AND ".join(one for one in (bounds, f"({self.where})" if self.where else "") if one)
        return (
            f"UPDATE {self.name} SET {assigned}"  # noqa: S608 - the revision's own SQL.
            + (f" FROM {self.source}" if self.source else "")
            + (f" WHERE {conditions}" if conditions else "")
        )

    def shape_query(self) -> str:
        """What asks for the table's full name, its rows, and whether the key is unique."""
        return _SHAPE.format(key=self._key_array, table=literal(self.name))

    def key_query(self) -> str:
        """What asks how each column of the key is written and compared."""
        return _KEY.format(key=self._key_array, table=literal(self.name))

    def written_query(self) -> str:
        """What asks how many rows of the table, in all its partitions, this session has updated or deleted."""
        return _WRITTEN.format(table=literal(self.name))

    @property
    def _key_array(self) -> str:
        return f"ARRAY[{', '.join(literal(column) for column in self.key)}]::text[]"

    def last_key_query(self, position: Sequence[str] | None, rows: int, kinds: Sequence[KeyColumn]) -> str:
        """What asks for the next batch.

        It gives the number of its rows, the key of the last of them, whether that key reads the same once it is
        written as a text, and whether it lies above the position.

        Args:
            position: the last key that is done; None before the first batch.
            rows: the most rows of a batch.
            kinds: how the key is written.
        """
        columns = ", ".join(self.keys)
        condition = f" WHERE {self.after(position, kinds)}" if position else ""
        picked = f"SELECT {columns} FROM {self.name}{condition} ORDER BY {columns} LIMIT {rows}"  # noqa: S608
        named = [f"k{number}" for number in range(len(self.key))]
        texts = [f"{name}::text" for name in named]
        written = [kind.value(text) for kind, text in zip(kinds, texts, strict=True)]
        above = compared(written, ">", _written(position, kinds), kinds) if position else "true"
        # Counted as they come: the rows of the inner query are in the order of the key.
        return (
            f"SELECT place, ARRAY[{', '.join(texts)}], {compared(named, '=', written, kinds)}, {above}"  # noqa: S608
            f" FROM (SELECT row_number() OVER () AS place, p.* FROM ({picked}) p ({', '.join(named)}))"
            " batch ORDER BY place DESC LIMIT 1"
        )

    def after(self, position: Sequence[str], kinds: Sequence[KeyColumn]) -> str:
        """Condition of the keys above a position."""
        return compared(self.keys, ">", _written(position, kinds), kinds)

    def up_to(self, position: Sequence[str], kinds: Sequence[KeyColumn]) -> str:
        """Condition of the keys up to a position."""
        return compared(self.keys, "<=", _written(position, kinds), kinds)

    def remaining_query(self, most: int) -> str:
        """What asks for the keys of rows that the condition still names, and for no more than `most` of them."""
        texts = " || ' ' || ".join(f"{key}::text" for key in self.keys)
        others = f", {self.source}" if self.source else ""
        return f"SELECT {texts} FROM {self.name}{others} WHERE {self.where} LIMIT {most}"  # noqa: S608

    def block(self) -> str:
        """The whole as one block, with the same effect, that can be read, judged, and run where Pilotage is not."""
        numbers = range(len(self.key))
        declared = "".join(
            f"  {way}_{number} {self.name}.{quoted(self.key[number])}%TYPE;\n"
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
            f"      ORDER BY {columns} LIMIT {SHOWN_ROWS}) p ({names}) ORDER BY {backwards} LIMIT 1;\n"
            f"    EXIT WHEN NOT FOUND;\n"
            f"    {self.statement(f'{above} AND ({columns}) <= ({upto})')};\n"
            f"    COMMIT;\n"
            + "".join(f"    done_{number} := upto_{number};\n" for number in numbers)
            + "  END LOOP;\nEND\n"
        )
        tag = next(f"${name}$" for name in _tags() if f"${name}$" not in text)
        return f"DO {tag}{text}{tag}"


def quoted(name: str) -> str:
    """A name as an identifier."""
    return sql.Identifier(name).as_string(None)


def compared(left: Sequence[str], sign: Literal["<=", "=", ">"], right: Sequence[str], by: Sequence[KeyColumn]) -> str:
    """A comparison of two keys, in the order that ORDER BY has.

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
    rest = compared(left[1:], sign, right[1:], by[1:])
    if sign == "=":
        return f"({first % '='} AND {rest})"
    # An index knows nothing to do with OR: what comes before says where to begin in it.
    return f"({first % f'{sign[0]}='} AND ({first % sign[0]} OR ({first % '='} AND {rest})))"


def _written(values: Sequence[str], kinds: Sequence[KeyColumn]) -> list[str]:
    return [kind.value(literal(value)) for value, kind in zip(values, kinds, strict=True)]


def _tags() -> itertools.chain[str]:
    return itertools.chain(["backfill"], (f"backfill{number}" for number in itertools.count()))
