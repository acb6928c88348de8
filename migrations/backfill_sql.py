"""The statements of a backfill: what one batch does, and the whole of it as a block to read."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

SHOWN_ROWS = 1000

# A unique index over the key and nothing else, in its order, none of whose columns can be NULL.
_SHAPE = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), greatest(c.reltuples, 0)::bigint,
       ARRAY(SELECT format_type(a.atttypid, NULL) FROM unnest({key}) WITH ORDINALITY k(name, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = k.name AND NOT a.attisdropped
             ORDER BY k.place),
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
        """What asks for the table's full name, its rows, the types of the key, and whether the key is unique."""
        key = f"ARRAY[{', '.join(literal(column) for column in self.key)}]::text[]"
        return _SHAPE.format(key=key, table=literal(self.name))

    def last_key_query(self, bounds: str, rows: int) -> str:
        """What asks for the number of rows of the next batch, and the key of the last of them.

        Args:
            bounds: condition of the keys that are not done; empty for all.
            rows: the most rows of a batch.
        """
        columns = ", ".join(self.keys)
        condition = f" WHERE {bounds}" if bounds else ""
        picked = f"SELECT {columns} FROM {self.name}{condition} ORDER BY {columns} LIMIT {rows}"  # noqa: S608
        names = ", ".join(f"k{number}" for number in range(len(self.key)))
        texts = ", ".join(f"k{number}::text" for number in range(len(self.key)))
        # Counted as they come: the rows of the inner query are in the order of the key.
        return (
            f"SELECT place, ARRAY[{texts}] FROM (SELECT row_number() OVER () AS place, p.* FROM ({picked}) p ({names}))"  # noqa: S608
            " batch ORDER BY place DESC LIMIT 1"
        )

    def after(self, position: Sequence[str], types: Sequence[str]) -> str:
        """Condition of the keys above a position."""
        return f"({', '.join(self.keys)}) > ({_row(position, types)})"

    def up_to(self, position: Sequence[str], types: Sequence[str]) -> str:
        """Condition of the keys up to a position."""
        return f"({', '.join(self.keys)}) <= ({_row(position, types)})"

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


def literal(value: str) -> str:
    """A text as a literal, which every driver sends as it is."""
    return sql.Literal(value).as_string(None)


def _row(values: Sequence[str], types: Sequence[str]) -> str:
    return ", ".join(f"{literal(value)}::{kind}" for value, kind in zip(values, types, strict=True))


def _tags() -> itertools.chain[str]:
    return itertools.chain(["backfill"], (f"backfill{number}" for number in itertools.count()))
