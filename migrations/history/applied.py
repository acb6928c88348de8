"""What the product keeps in the target database: which revisions it applied, and what their files were.

A record is written in the transaction of its revision, so that it tells the truth whatever happens. `xid` is that
transaction's id: the rows it changed can be told from those that users wrote.
"""

from dataclasses import asdict, dataclass

import psycopg
from sqlalchemy import Connection, text

from migrations.database.tools_tables import KEEP_OURS
from migrations.errors import Session
from migrations.history import overwritten, own_transactions

PRODUCT_SCHEMA = "pilotage"

_CREATE = """
CREATE SCHEMA IF NOT EXISTS pilotage;
CREATE TABLE IF NOT EXISTS pilotage.applied_revisions (
    revision text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    release_id text NOT NULL,
    applied_by text NOT NULL DEFAULT session_user,
    duration_ms integer NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
)
"""
UNFINISHED = """
CREATE TABLE IF NOT EXISTS pilotage.unfinished_revisions (
    revision text NOT NULL,
    way text NOT NULL,
    statements text[] NOT NULL,
    begun text,
    invalid oid[] NOT NULL DEFAULT '{}',
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (revision, way)
)
"""
# Tables that an older version made lack these.
_WIDEN = """
ALTER TABLE pilotage.applied_revisions ADD COLUMN IF NOT EXISTS attempts integer;
ALTER TABLE pilotage.applied_revisions ADD COLUMN IF NOT EXISTS waited_ms integer;
ALTER TABLE pilotage.applied_revisions ADD COLUMN IF NOT EXISTS blocked_ms integer;
CREATE TABLE IF NOT EXISTS pilotage.ended_sessions (
    revision text NOT NULL,
    release_id text NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    pid integer NOT NULL,
    "user" text NOT NULL,
    application text NOT NULL,
    age_s double precision NOT NULL,
    query text NOT NULL
);
"""
_NOTE_IMPACT = """
UPDATE pilotage.applied_revisions SET attempts = %s, waited_ms = %s, blocked_ms = %s WHERE revision = %s
"""
_ENDED = """
INSERT INTO pilotage.ended_sessions (revision, release_id, pid, "user", application, age_s, query)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_WRITE = text("""
INSERT INTO pilotage.applied_revisions
    (revision, checksum, release_id, duration_ms, attempts, waited_ms, blocked_ms)
VALUES (:revision, :checksum, :release_id, :duration_ms, :attempts, :waited_ms, :blocked_ms)
ON CONFLICT (revision) DO UPDATE
SET checksum = excluded.checksum, release_id = excluded.release_id, duration_ms = excluded.duration_ms,
    attempts = excluded.attempts, waited_ms = excluded.waited_ms, blocked_ms = excluded.blocked_ms,
    applied_at = excluded.applied_at, applied_by = excluded.applied_by, xid = excluded.xid
""")
_FORGET = text("DELETE FROM pilotage.applied_revisions WHERE revision = :revision")


def ensure_table(connection: psycopg.Connection) -> bool:
    """Make the table of applied revisions where it is missing.

    Args:
        connection: in autocommit.

    Returns:
        Whether there is one now; False where the role may not make it, which is the owner's decision.

    Locks: none on the application's tables.
    """
    if is_kept(connection) and _is_wide(connection):
        return True
    try:
        connection.execute(
            f"{_CREATE};{_WIDEN}{own_transactions.TABLE}{overwritten.TABLE}{UNFINISHED};{KEEP_OURS}".encode()
        )
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def is_kept(connection: psycopg.Connection) -> bool:
    """Whether the database has a table of applied revisions that this role may read."""
    row = connection.execute(
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = 'applied_revisions'",
        (PRODUCT_SCHEMA,),
    ).fetchone()
    return row is not None and bool(row[0])


def _is_wide(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT to_regclass('pilotage.unfinished_revisions') IS NOT NULL"
        " AND to_regclass('pilotage.revision_transactions') IS NOT NULL"
        " AND to_regclass('pilotage.overwritten_additions') IS NOT NULL"
    ).fetchone()
    return row is not None and bool(row[0])


@dataclass(frozen=True)
class Impact:
    """What a revision cost others, and itself.

    Attributes:
        attempts: how often it was tried.
        waited_ms: milliseconds that it waited for others before its last try.
        blocked_ms: milliseconds, the longest that somebody waited for it.
    """

    attempts: int
    waited_ms: int
    blocked_ms: int


def note_impact(connection: psycopg.Connection, revision: str, impact: Impact) -> None:
    """Note what a revision has cost, where that became more until its end."""
    given = (impact.attempts, impact.waited_ms, impact.blocked_ms, revision)
    connection.execute(_NOTE_IMPACT.encode(), given)


def note_ended(connection: psycopg.Connection, revision: str, release_id: str, session: Session) -> None:
    """Note a session that was ended, whatever becomes of the revision."""
    given = (session.pid, session.user, session.application, session.age_s, " ".join(session.query.split()))
    connection.execute(_ENDED.encode(), (revision, release_id, *given))


def read(connection: psycopg.Connection) -> dict[str, str]:
    """The checksum of every applied revision, by revision."""
    return {
        str(revision): str(kept)
        for revision, kept in connection.execute("SELECT revision, checksum FROM pilotage.applied_revisions")
    }


def releases(connection: psycopg.Connection) -> dict[str, str]:
    """The release that applied each revision, by revision; empty where no record is kept."""
    if not is_kept(connection):
        return {}
    return {
        str(revision): str(release)
        for revision, release in connection.execute("SELECT revision, release_id FROM pilotage.applied_revisions")
    }


def transactions(connection: psycopg.Connection) -> dict[str, int]:
    """The id of the transaction that applied each revision, by revision."""
    return {
        str(revision): int(xid)
        for revision, xid in connection.execute("SELECT revision, xid::text FROM pilotage.applied_revisions")
    }


def write(
    connection: Connection, *, revision: str, checksum: str, release_id: str, duration_ms: int, impact: Impact
) -> None:
    """Record a revision, in the transaction that applies it."""
    given = {"revision": revision, "checksum": checksum, "release_id": release_id, "duration_ms": duration_ms}
    connection.execute(_WRITE, {**given, **asdict(impact)})


def forget(connection: Connection, revision: str) -> None:
    """Take a revision's record away, in the transaction that takes the revision away."""
    connection.execute(_FORGET, {"revision": revision})
