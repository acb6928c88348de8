"""The backfills that a database has on record: listed, paused, resumed or restarted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from migrations.backfill.errors import BackfillUnknown
from migrations.backfill.positions import TABLES_EXIST_QUERY
from migrations.database.session import connect
from migrations.errors import DatabaseRefused, describe_database


@dataclass(frozen=True)
class BackfillRecord:
    """A backfill as the target database has it on record.

    Attributes:
        revision: whose it is.
        direction: upgrade or downgrade.
        relation: the table.
        passed: rows that it went over.
        changed: rows that it changed.
        estimate: rows that the table was thought to have.
        paused: whether somebody has paused it.
        finished: whether it has gone over all rows.
        closed: whether its revision stands, or was taken away, with it.
        updated_at: when its last batch was committed.
    """

    revision: str
    direction: str
    relation: str
    passed: int
    changed: int
    estimate: int
    paused: bool
    finished: bool
    closed: bool
    updated_at: datetime


def batch_transactions(connection: psycopg.Connection) -> dict[int, str]:
    """The revision of each committed batch, by the id of its transaction."""
    row = connection.execute(TABLES_EXIST_QUERY).fetchone()
    if row is None or not row[0]:
        return {}
    return {
        int(xid): str(revision)
        for xid, revision in connection.execute("SELECT xid::text, revision FROM pilotage.backfill_batches")
    }


def backfill_records(dsn: str) -> tuple[BackfillRecord, ...]:
    """The backfills that a database has on record, the unfinished first.

    Raises:
        MigrationError: the database cannot be read.
    """
    with connect(dsn, autocommit=True) as connection:
        try:
            row = connection.execute(TABLES_EXIST_QUERY).fetchone()
            if row is None or not row[0]:
                return ()
            found = connection.execute(
                "SELECT revision, direction, relation, passed, changed, estimate, paused, finished_at IS NOT NULL,"
                " closed_at IS NOT NULL, updated_at FROM pilotage.backfills"
                " ORDER BY closed_at IS NOT NULL, revision, direction DESC, number"
            ).fetchall()
        except psycopg.Error as error:
            raise DatabaseRefused.of(dsn, "reading the backfills", error) from error
    return tuple(BackfillRecord(*one) for one in found)


def set_paused(dsn: str, revision: str | None, *, paused: bool) -> tuple[str, ...]:
    """Pause backfills before their next batch, or resume them.

    Args:
        dsn: direct connection string of the owner.
        revision: whose backfills; None for all that are not finished.
        paused: whether to pause them.

    Returns:
        The revisions whose backfills were set.

    Raises:
        BackfillUnknown: there is none.

    Locks: the rows of the positions, for one statement.
    """
    return _change(dsn, revision, f"paused = {paused}", "finished_at IS NULL")


def restart(dsn: str, revision: str) -> tuple[str, ...]:
    """Restart the backfills of a revision: its next run goes over all rows again.

    Args:
        dsn: direct connection string of the owner.
        revision: whose backfills.

    Raises:
        BackfillUnknown: there is none.

    Locks: the rows of the positions, for one statement.
    """
    return _change(dsn, revision, "position = NULL, passed = 0, changed = 0, finished_at = NULL", "closed_at IS NULL")


def _change(dsn: str, revision: str | None, assignment: str, condition: str) -> tuple[str, ...]:
    known = [one for one in backfill_records(dsn) if not one.closed]
    changed: list[str] = []
    if known:
        with connect(dsn, autocommit=True) as connection:
            statement = (
                f"UPDATE pilotage.backfills SET {assignment} WHERE {condition}"  # noqa: S608 - both are ours.
                " AND (%(revision)s::text IS NULL OR revision = %(revision)s) RETURNING revision"
            )
            try:
                changed = [str(row[0]) for row in connection.execute(statement.encode(), {"revision": revision})]
            except psycopg.Error as error:
                raise DatabaseRefused.of(dsn, "setting a backfill", error) from error
    if not changed:
        raise BackfillUnknown(
            describe_database(dsn), revision, sorted({one.revision for one in known if not one.finished})
        )
    return tuple(sorted(set(changed)))
