"""Users seen: how many people have used the application since a moment."""

from datetime import UTC, datetime
from importlib.resources import files

import psycopg


def users_seen(connection: psycopg.Connection, since: datetime) -> int | None:
    """Count the users who were active after a moment.

    Args:
        connection: a session that reads.
        since: aware moment; the database keeps UTC without zone.

    Returns:
        The number of users; None where the database has no such column, so that it cannot be told.

    Locks: AccessShareLock on users and chat_sessions, for one scan.
    """
    query = (files("migrations.checks") / "users_seen.sql").read_text()
    try:
        row = connection.execute(query.encode(), {"since": since.astimezone(UTC).replace(tzinfo=None)}).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return None
    return int(row[0]) if row else None


def clock(connection: psycopg.Connection) -> datetime:
    """What the database calls now: the clock that its users' moments are told by.

    Args:
        connection: any session.
    """
    (moment,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
    if not isinstance(moment, datetime):
        raise psycopg.DataError("the database told no time")
    return moment
