"""The columns that hold ciphertext, as the models declare them; a database of an older revision may lack some."""

from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import MetaData

from migrations.encryption.cipher import Context
from migrations.models import Base


@dataclass(frozen=True)
class EncryptedTable:
    """A table with columns that hold ciphertext.

    Attributes:
        name: its name.
        key: its primary key.
        columns: the columns that hold ciphertext.
        masked: those of them that are shown by their last four characters only.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    masked: tuple[str, ...] = ()

    def contexts(self) -> tuple[Context, ...]:
        """The table and column of each column that holds ciphertext."""
        return tuple((self.name, column) for column in self.columns)

    @property
    def identifier(self) -> sql.Identifier:
        """Its name as SQL."""
        return sql.Identifier("public", self.name)


def encrypted_tables(metadata: MetaData = Base.metadata) -> tuple[EncryptedTable, ...]:
    """The tables whose models mark a column as encrypted, by name."""
    found = (
        EncryptedTable(
            name=table.name,
            key=tuple(column.name for column in table.primary_key),
            columns=tuple(column.name for column in table.columns if column.info.get("encrypted")),
            masked=tuple(column.name for column in table.columns if column.info.get("masked")),
        )
        for table in metadata.tables.values()
    )
    return tuple(sorted((one for one in found if one.columns), key=lambda one: one.name))


@dataclass(frozen=True)
class PresentColumns:
    """The encrypted columns that a database has, and those that it lacks.

    Attributes:
        tables: the tables that exist, with the columns that exist.
        missing: columns that its revision does not have yet, or no longer has.
    """

    tables: tuple[EncryptedTable, ...]
    missing: tuple[Context, ...]


def present_columns(connection: psycopg.Connection, tables: tuple[EncryptedTable, ...]) -> PresentColumns:
    """Look up which of the encrypted columns a database has.

    Locks: none on user tables.
    """
    rows = connection.execute(
        """SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s) AND c.relkind IN ('r', 'p')
             AND a.attnum > 0 AND NOT a.attisdropped""",
        ([table.name for table in tables],),
    ).fetchall()
    live = {(str(table), str(column)) for table, column in rows}
    there = (
        EncryptedTable(
            name=table.name,
            key=table.key,
            columns=tuple(column for name, column in table.contexts() if (name, column) in live),
            masked=tuple(column for column in table.masked if (table.name, column) in live),
        )
        for table in tables
    )
    missing = tuple(context for table in tables for context in table.contexts() if context not in live)
    return PresentColumns(tuple(table for table in there if table.columns), missing)
