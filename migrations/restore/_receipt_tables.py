"""Tables of two databases that were one: what columns and what key they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrations.database.table_keys import KEY_COLUMNS

_TABLES = f"""
SELECT n.nspname, c.relname,
       array(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname COLLATE "C"),
       array(SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname COLLATE "C"),
       {KEY_COLUMNS}, c.oid::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND c.relname <> 'alembic_version'
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1, 2
"""  # noqa: S608 - ours.


@dataclass(frozen=True)
class Table:
    """A table as it stands in one database.

    Attributes:
        schema: its schema.
        name: its name.
        types: type of each column, by its name.
        key: columns that tell its rows apart: the primary key, or else a unique index over columns that are not null.
        oid: what it is called by, whatever its name; a branch and what it was made of have the same.
    """

    schema: str
    name: str
    types: dict[str, str]
    key: tuple[str, ...] | None
    oid: int = 0

    @property
    def readable(self) -> str:
        """Its name, with its schema outside of public."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    def type_of(self, column: str) -> sql.SQL:
        """A column's type, as the catalogue writes it."""
        return sql.SQL(self.types[column])  # pyright: ignore[reportArgumentType]

    @property
    def identifier(self) -> sql.Identifier:
        """Its name as SQL."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True)
class TablePair:
    """The same table in both databases.

    Attributes:
        restored: as it was at the point.
        kept: as it was before the restore.
        columns: columns that both have.
        key: the key, where both have its columns.
    """

    restored: Table
    kept: Table
    columns: tuple[str, ...]
    key: tuple[str, ...] | None

    @classmethod
    def of(cls, restored: Table, kept: Table) -> TablePair:
        """What both have in common."""
        columns = tuple(name for name in restored.types if name in kept.types)
        for key in (restored.key, kept.key):
            if key and set(key) <= set(columns):
                return cls(restored, kept, columns, key)
        return cls(restored, kept, columns, None)

    @property
    def has_same_columns(self) -> bool:
        """Whether neither has a column that the other lacks."""
        return self.restored.types.keys() == self.kept.types.keys()


def read_tables(connection: psycopg.Connection) -> dict[str, Table]:
    """The tables of a database, by readable name.

    Locks: AccessShareLock on the system catalogues.
    """
    found: dict[str, Table] = {}
    for schema, name, columns, types, key, oid in connection.execute(_TABLES.encode()):
        one = Table(schema, name, dict(zip(columns, types, strict=True)), tuple(key) if key else None, oid)
        found[one.readable] = one
    return found


def key_of(columns: Sequence[str]) -> sql.Composed:
    """The key of a row as an array of texts."""
    return sql.SQL("ARRAY[{}]").format(
        sql.SQL(", ").join(sql.SQL("r.{}::text").format(sql.Identifier(c)) for c in columns)
    )


def digest_of(columns: Sequence[str]) -> sql.Composed:
    """A digest of a row's columns; sessions of ours write values as text alike."""
    values = sql.SQL(", ").join(sql.SQL("r.{}").format(sql.Identifier(c)) for c in columns)
    return sql.SQL("sha256(convert_to(ROW({})::text, 'UTF8'))").format(values)


def by_key(columns: Sequence[str]) -> sql.Composed:
    """An order that Python's comparison of texts agrees with."""
    return sql.SQL(", ").join(sql.SQL('r.{}::text COLLATE "C"').format(sql.Identifier(c)) for c in columns)
