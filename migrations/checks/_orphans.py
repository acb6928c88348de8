"""Orphans: references that no constraint guards yet, looked at row by row."""

from typing import NamedTuple

import psycopg
from psycopg import sql

from migrations.checks.result import CheckResult

NAME = "orphans"


class Reference(NamedTuple):
    """A column that names a row of another table."""

    table: str
    column: str
    to_table: str


REFERENCES = (
    Reference("artifacts", "conversationId", "conversations"),
    Reference("artifacts", "userId", "users"),
    Reference("usage_logs", "conversationId", "conversations"),
    Reference("usage_logs", "messageId", "messages"),
    Reference("user_agent_permissions", "grantedBy", "users"),
)


def check_orphans(connection: psycopg.Connection) -> CheckResult:
    """Count rows that name a row which is not there. References whose columns do not exist are passed over, and said.

    Locks: AccessShareLock on each table, for one scan of it.
    """
    wrong: list[str] = []
    total, looked, absent = 0, 0, 0
    for reference in REFERENCES:
        if not _exists(connection, reference):
            absent += 1
            continue
        looked += 1
        # Compared as text: some of these columns are VARCHAR until they become UUIDs.
        query = sql.SQL(
            "SELECT count(*) FROM {t} c WHERE c.{c} IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM {r} p WHERE p.id::text = c.{c}::text)"
        ).format(
            t=sql.Identifier("public", reference.table),
            c=sql.Identifier(reference.column),
            r=sql.Identifier("public", reference.to_table),
        )
        row = connection.execute(query).fetchone()
        if row and row[0]:
            total += int(row[0])
            wrong.append(
                f'{row[0]} rows of {reference.table} name a missing row of {reference.to_table} ("{reference.column}")'
            )
    return CheckResult(NAME, total, f"{looked} references without a constraint, {absent} not there", tuple(wrong))


def _exists(connection: psycopg.Connection, reference: Reference) -> bool:
    row = connection.execute(
        """SELECT count(*) FROM information_schema.columns
           WHERE table_schema = 'public' AND (table_name, column_name) IN ((%s, %s), (%s, 'id'))""",
        (reference.table, reference.column, reference.to_table),
    ).fetchone()
    return row is not None and row[0] == 2
