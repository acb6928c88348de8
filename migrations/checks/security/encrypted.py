"""Encrypted columns: every value is ciphertext, of a key that is known, and decrypts."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg import sql

from migrations.checks.security.finding import Observations
from migrations.encryption.cipher import CIPHERTEXT_PATTERN, Context, KeyRing
from migrations.encryption.errors import EncryptionError
from migrations.protection.encrypted_columns import EncryptedTable, present_columns

SAMPLE: Final = 20
"""So many values of each key are decrypted in each column."""


def check_encrypted(
    connection: psycopg.Connection, tables: tuple[EncryptedTable, ...], ring: KeyRing | None
) -> Observations:
    """Look at every value of columns that must hold ciphertext.

    Args:
        connection: a session that reads.
        tables: the tables and columns.
        ring: the keys; without, whether a value's key is known cannot be told.

    Locks: AccessShareLock on each table, for one scan a column.
    """
    seen = _Seen()
    present = present_columns(connection, tables)
    for table in present.tables:
        for context in table.contexts():
            _look(connection, context, ring, seen)
    observations = seen.observations()
    if not tables:
        observations.unknown.append("the models have no such columns yet")
    if present.missing:
        absent = ", ".join(sorted({table for table, _ in present.missing}))
        observations.unknown.append(f"the database has not, at its revision, every encrypted column of {absent}")
    return observations


def check_masked(
    connection: psycopg.Connection, tables: tuple[EncryptedTable, ...], ring: KeyRing | None
) -> Observations:
    """Look at every value of financial columns, and which of them are shown by their last characters only.

    Locks: AccessShareLock on each table, for one scan a column.
    """
    observations = check_encrypted(connection, tables, ring)
    masked = [f"{table.name}.{column}" for table in tables for column in table.masked]
    if masked:
        observations.good.append(f"masked when shown: {', '.join(masked)}")
    elif tables:
        observations.unknown.append("the models mark no number as masked")
    return observations


@dataclass
class _Seen:
    """What was seen of all columns together, so that many columns make few words."""

    wrong: list[str] = field(default_factory=list[str])
    proven: Counter[str] = field(default_factory=Counter[str])
    untried: Counter[str] = field(default_factory=Counter[str])
    forced: int = 0
    unforced: list[str] = field(default_factory=list[str])

    def observations(self) -> Observations:
        """What it says, in words."""
        found = Observations(wrong=self.wrong)
        for key, count in sorted(self.untried.items()):
            found.unknown.append(f"{count} values have key {key}: ENCRYPTION_KEYS is not given to try it")
        if self.unforced:
            found.unknown.append(f"empty, and without a CHECK that forces ciphertext: {', '.join(self.unforced)}")
        for key, count in sorted(self.proven.items()):
            found.good.append(f"{count} values of key {key}")
        if self.forced:
            found.good.append(f"{self.forced} columns are empty, and take ciphertext alone")
        return found


def _look(connection: psycopg.Connection, context: Context, ring: KeyRing | None, seen: _Seen) -> None:
    name = ".".join(context)
    counts = _values_by_key(connection, context)
    if not counts:
        if _forced(connection, context):
            seen.forced += 1
        else:
            seen.unforced.append(name)
    for key, count in counts.items():
        if key is None:
            seen.wrong.append(f"{count} values of {name} are not encrypted (pilotage rotate-keys)")
        elif ring is None:
            seen.untried[key] += count
        elif key not in ring.key_ids:
            seen.wrong.append(f"{count} values of {name} have the unknown key {key}")
        elif spoilt := _spoilt(connection, context, key, ring):
            tried = min(count, SAMPLE)
            seen.wrong.append(f"{spoilt} of the {tried} values of {name} tried do not decrypt with key {key}")
        else:
            seen.proven[key] += count


def _values_by_key(connection: psycopg.Connection, context: Context) -> dict[str | None, int]:
    """How many values each key has encrypted; None stands for what is no ciphertext."""
    query = sql.SQL(
        "SELECT CASE WHEN {column} ~ {pattern} THEN split_part({column}, ':', 2) END, count(*)"
        " FROM {table} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).format(
        column=sql.Identifier(context[1]),
        pattern=sql.Literal(CIPHERTEXT_PATTERN),
        table=sql.Identifier("public", context[0]),
    )
    return {key: int(count) for key, count in connection.execute(query).fetchall()}


def _spoilt(connection: psycopg.Connection, context: Context, key: str, ring: KeyRing) -> int:
    """How many of some values do not decrypt."""
    query = sql.SQL("SELECT {column} FROM {table} WHERE starts_with({column}, {start}) LIMIT {limit}").format(
        column=sql.Identifier(context[1]),
        table=sql.Identifier("public", context[0]),
        start=sql.Literal(f"aesgcm:{key}:"),
        limit=sql.Literal(SAMPLE),
    )
    spoilt = 0
    for (value,) in connection.execute(query).fetchall():
        try:
            ring.decrypt(str(value), context)
        except EncryptionError:
            spoilt += 1
    return spoilt


def _forced(connection: psycopg.Connection, context: Context) -> bool:
    """Whether a CHECK of the column alone refuses what is no ciphertext."""
    row = connection.execute(
        """SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
           WHERE k.conrelid = format('public.%%I', %s::text)::regclass AND a.attname = %s AND k.contype = 'c'
             AND k.convalidated AND strpos(pg_get_constraintdef(k.oid), '^aesgcm:') > 0""",
        context,
    ).fetchone()
    return row is not None
