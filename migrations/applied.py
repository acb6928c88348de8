"""What the product keeps in the target database: which revisions it applied, and what their files were.

A record is written in the transaction of its revision, so that it tells the truth whatever happens. `xid` is that
transaction's id: the rows it changed can be told from those that users wrote.
"""

import psycopg
from sqlalchemy import Connection, text

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
_WRITE = text("""
INSERT INTO pilotage.applied_revisions
    (revision, checksum, release_id, duration_ms)
VALUES (:revision, :checksum, :release_id, :duration_ms)
ON CONFLICT (revision) DO UPDATE
SET checksum = excluded.checksum, release_id = excluded.release_id, duration_ms = excluded.duration_ms,
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
    if is_kept(connection):
        return True
    try:
        connection.execute(_CREATE.encode())
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


def read(connection: psycopg.Connection) -> dict[str, str]:
    """The checksum of every applied revision, by revision."""
    return {
        str(revision): str(kept)
        for revision, kept in connection.execute("SELECT revision, checksum FROM pilotage.applied_revisions")
    }


def transactions(connection: psycopg.Connection) -> dict[str, int]:
    """The id of the transaction that applied each revision, by revision."""
    return {
        str(revision): int(xid)
        for revision, xid in connection.execute("SELECT revision, xid::text FROM pilotage.applied_revisions")
    }


def write(connection: Connection, *, revision: str, checksum: str, release_id: str, duration_ms: int) -> None:
    """Record a revision, in the transaction that applies it."""
    connection.execute(
        _WRITE,
        {"revision": revision, "checksum": checksum, "release_id": release_id, "duration_ms": duration_ms},
    )


def forget(connection: Connection, revision: str) -> None:
    """Take a revision's record away, in the transaction that takes the revision away."""
    connection.execute(_FORGET, {"revision": revision})
