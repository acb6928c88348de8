"""Counts: no table has lost rows that nobody meant to lose."""

from collections.abc import Mapping

import psycopg
from psycopg import sql

from migrations.checks.result import CheckResult

NAME = "row counts"

# Rows of these come and go by themselves: a login ends, a token is used.
PASSING = frozenset({"auth_sessions", "verification_tokens"})
SLACK_ROWS = 10


def check_counts(
    connection: psycopg.Connection, before: Mapping[str, int], *, loss_limit: float = 0.01, exact_below: int = 1_000_000
) -> CheckResult:
    """Compare the rows of each table with those of the restore point.

    Args:
        connection: a session that reads.
        before: rows by table at the restore point.
        loss_limit: the share of a table's rows that may go, since an application deletes too, and a few rows in any
            case; a table that is emptied is always wrong, but for those whose rows come and go.
        exact_below: tables of more rows at the restore point are passed over, and said.

    Locks: AccessShareLock on each table, for one scan of it.
    """
    wrong: list[str] = []
    passed_over = 0
    for table, rows in sorted(before.items()):
        if rows >= exact_below or table in PASSING:
            passed_over += 1
            continue
        now = _rows(connection, table)
        if now is None:
            wrong.append(f"{table} is gone ({rows} rows)" if rows else "")
        elif now < rows * (1 - loss_limit) - SLACK_ROWS or (rows > 0 and now == 0):
            wrong.append(f"{table} had {rows} rows and has {now}")
    wrong = [text for text in wrong if text]
    return CheckResult.of(
        NAME, wrong, f"{len(before) - passed_over} tables, {passed_over} too large or passing by nature"
    )


def _rows(connection: psycopg.Connection, table: str) -> int | None:
    schema, _, name = table.rpartition(".")
    where = connection.execute("SELECT to_regclass(%s)", (f'"{schema or "public"}"."{name}"',)).fetchone()
    if where is None or where[0] is None:
        return None
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema or "public", name))
    ).fetchone()
    return int(row[0]) if row else None
