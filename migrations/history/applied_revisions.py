"""The records of applied revisions in the target database: which were applied, and the checksums of their files.

A record is written in the transaction of its revision, so that it is true whatever happens. `xid` is that
transaction's id: with it the rows that the revision changed can be told from those that users wrote.
"""

from dataclasses import asdict, dataclass

import psycopg

from migrations.database.literals import literal
from migrations.database.tools_tables import KEEP_OURS
from migrations.errors import Session
from migrations.history import guard_row, overwritten_rows, overwritten_values, revision_transactions

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
RESUME_NOTES_TABLE = """
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
# Tables that an older version created lack these columns.
_ADD_MISSING_COLUMNS = """
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
_RECORD_IMPACT = """
UPDATE pilotage.applied_revisions SET attempts = %s, waited_ms = %s, blocked_ms = %s WHERE revision = %s
"""
_RECORD_ENDED_SESSION = """
INSERT INTO pilotage.ended_sessions (revision, release_id, pid, "user", application, age_s, query)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_WRITE = """
INSERT INTO pilotage.applied_revisions
    (revision, checksum, release_id, duration_ms, attempts, waited_ms, blocked_ms)
VALUES ({revision}, {checksum}, {release_id}, {duration_ms}, {attempts}, {waited_ms}, {blocked_ms})
ON CONFLICT (revision) DO UPDATE
SET checksum = excluded.checksum, release_id = excluded.release_id, duration_ms = excluded.duration_ms,
    attempts = excluded.attempts, waited_ms = excluded.waited_ms, blocked_ms = excluded.blocked_ms,
    applied_at = excluded.applied_at, applied_by = excluded.applied_by, xid = excluded.xid
"""
_DELETE = "DELETE FROM pilotage.applied_revisions WHERE revision = {revision}"


def ensure_tables(connection: psycopg.Connection) -> bool:
    """Create the tables of records where they are missing.

    Args:
        connection: in autocommit.

    Returns:
        Whether they exist now; False where the role may not create them, which is the owner's decision.

    Locks: none on the application's tables.
    """
    if has_records(connection) and _has_all_tables(connection):
        return True
    try:
        connection.execute(
            f"{_CREATE};{_ADD_MISSING_COLUMNS}{revision_transactions.TABLE}{overwritten_values.TABLE}"
            f"{overwritten_rows.TABLE}{guard_row.TABLE}{RESUME_NOTES_TABLE};{KEEP_OURS}".encode()
        )
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def has_records(connection: psycopg.Connection) -> bool:
    """Whether the database has records of applied revisions that this role may read."""
    row = connection.execute(
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = 'applied_revisions'",
        (PRODUCT_SCHEMA,),
    ).fetchone()
    return row is not None and bool(row[0])


def _has_all_tables(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT to_regclass('pilotage.unfinished_revisions') IS NOT NULL"
        " AND to_regclass('pilotage.revision_transactions') IS NOT NULL"
        " AND to_regclass('pilotage.overwritten_additions') IS NOT NULL"
        " AND to_regclass('pilotage.overwritten_rows') IS NOT NULL"
        " AND to_regclass('pilotage.release_guard') IS NOT NULL"
    ).fetchone()
    return row is not None and bool(row[0])


@dataclass(frozen=True)
class Impact:
    """What applying a revision cost the sessions of others, and itself.

    Attributes:
        attempts: how often it was tried.
        waited_ms: milliseconds that it waited for others before its last try.
        blocked_ms: the longest time that another session waited for it, in milliseconds.
    """

    attempts: int
    waited_ms: int
    blocked_ms: int


def record_impact(connection: psycopg.Connection, revision: str, impact: Impact) -> None:
    """Update the impact in the record of a revision, which may have grown until its end."""
    values = (impact.attempts, impact.waited_ms, impact.blocked_ms, revision)
    connection.execute(_RECORD_IMPACT.encode(), values)


def record_ended_session(connection: psycopg.Connection, revision: str, release_id: str, session: Session) -> None:
    """Record a session that was terminated, whether or not the revision is applied in the end."""
    values = (session.pid, session.user, session.application, session.age_s, " ".join(session.query.split()))
    connection.execute(_RECORD_ENDED_SESSION.encode(), (revision, release_id, *values))


def checksums(connection: psycopg.Connection) -> dict[str, str]:
    """The checksum of every applied revision, by revision."""
    return {
        str(revision): str(kept)
        for revision, kept in connection.execute("SELECT revision, checksum FROM pilotage.applied_revisions")
    }


def release_ids(connection: psycopg.Connection) -> dict[str, str]:
    """The release that applied each revision, by revision; empty where there are no records."""
    if not has_records(connection):
        return {}
    return {
        str(revision): str(release)
        for revision, release in connection.execute("SELECT revision, release_id FROM pilotage.applied_revisions")
    }


def transaction_ids(connection: psycopg.Connection) -> dict[str, int]:
    """The id of the transaction that applied each revision, by revision."""
    return {
        str(revision): int(xid)
        for revision, xid in connection.execute("SELECT revision, xid::text FROM pilotage.applied_revisions")
    }


def recording(*, revision: str, checksum: str, release_id: str, duration_ms: int, impact: Impact) -> str:
    """The statement that records a revision, for the transaction that applies it."""
    texts = {"revision": revision, "checksum": checksum, "release_id": release_id}
    return _WRITE.format(
        **{name: literal(value) for name, value in texts.items()}, duration_ms=duration_ms, **asdict(impact)
    ).strip()


def removing(revision: str) -> str:
    """The statement that deletes a revision's record, for the transaction of its downgrade."""
    return _DELETE.format(revision=literal(revision))
