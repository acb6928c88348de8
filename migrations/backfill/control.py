"""The backfills that a database keeps: read, paused, let go on, or sent back to the beginning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from migrations.backfill.errors import BackfillUnknown
from migrations.backfill.state import KEPT
from migrations.database.session import connect
from migrations.errors import DatabaseRefused, describe_database


@dataclass(frozen=True)
class KeptBackfill:
    """A backfill as the target keeps it.

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


def transactions(connection: psycopg.Connection) -> dict[int, str]:
    """The revision of each batch that was committed, by the id of its transaction."""
    row = connection.execute(KEPT).fetchone()
    if row is None or not row[0]:
        return {}
    return {
        int(xid): str(revision)
        for xid, revision in connection.execute("SELECT xid::text, revision FROM pilotage.backfill_batches")
    }


def kept_backfills(dsn: str) -> tuple[KeptBackfill, ...]:
    """The backfills that a database keeps, the unfinished first.

    Raises:
        MigrationError: the database cannot be read.
    """
    with connect(dsn, autocommit=True) as connection:
        try:
            row = connection.execute(KEPT).fetchone()
            if row is None or not row[0]:
                return ()
            found = connection.execute(
                "SELECT revision, direction, relation, passed, changed, estimate, paused, finished_at IS NOT NULL,"
                " closed_at IS NOT NULL, updated_at FROM pilotage.backfills"
                " ORDER BY closed_at IS NOT NULL, revision, direction DESC, number"
            ).fetchall()
        except psycopg.Error as error:
            raise DatabaseRefused.of(dsn, "reading the backfills", error) from error
    return tuple(KeptBackfill(*one) for one in found)


def set_paused(dsn: str, revision: str | None, *, paused: bool) -> tuple[str, ...]:
    """Pause backfills before their next batch, or let them go on.

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
    """Let the backfills of a revision begin anew with its next run, over all rows.

    Args:
        dsn: direct connection string of the owner.
        revision: whose backfills.

    Raises:
        BackfillUnknown: there is none.

    Locks: the rows of the positions, for one statement.
    """
    return _change(dsn, revision, "position = NULL, passed = 0, changed = 0, finished_at = NULL", "closed_at IS NULL")


def _change(dsn: str, revision: str | None, assignment: str, condition: str) -> tuple[str, ...]:
    known = [one for one in kept_backfills(dsn) if not one.closed]
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
