"""What the owner must be allowed before its revisions begin, so that none stops half-way for want of a right."""

import re
from collections.abc import Sequence

import psycopg

from migrations.apply.errors import OwnerLacksRight
from migrations.errors import DatabaseRefused, describe_database
from migrations.history.revision_file import Revision

_FORCES = re.compile(r"(?<!NO\s)\bFORCE\s+ROW\s+LEVEL\s+SECURITY", re.IGNORECASE)
_RIGHTS = """
SELECT r.rolname, r.rolsuper OR r.rolbypassrls, s.name, has_schema_privilege(s.name, 'CREATE')
FROM pg_roles r
LEFT JOIN LATERAL (SELECT name FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place)
                   WHERE name !~ '^pg_' ORDER BY place LIMIT 1) s ON true
WHERE r.rolname = current_user
"""


def refuse_without_rights(connection: psycopg.Connection, dsn: str, pending: Sequence[Revision]) -> None:
    """Make sure that a role may do what the pending revisions of our own history do.

    Args:
        connection: a session of the role that applies them.
        dsn: its connection string, for messages.
        pending: the revisions that are to be applied.

    Raises:
        OwnerLacksRight: it may not make anything in its schema, or rows would be kept from it.
        DatabaseRefused: its rights could not be read.

    Locks: none on user tables.

    Source: FORCE ROW LEVEL SECURITY holds the owner of a table to its policies too, unless it has BYPASSRLS; a session
    with `row_security = off` is then refused (SQLSTATE 42501) where it would not see every row, as in checking a
    foreign key. Neon's API makes roles with BYPASSRLS; CREATE ROLE in SQL does not. Since PostgreSQL 15 none but the
    database's owner may make anything in the schema public.
    """
    if not pending:
        return
    try:
        row = connection.execute(_RIGHTS).fetchone()
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "reading the owner's rights", error) from error
    if row is None:  # pragma: no cover - everybody who is connected is a role.
        return
    role, bypasses, schema, makes = row
    if schema is None:
        raise OwnerLacksRight(
            describe_database(dsn),
            role,
            "no schema of its search_path is there, or it may use none",
            "make one that stands in its search_path (CREATE SCHEMA public), or let that lead to one that is there:"
            f' ALTER ROLE "{role}" SET search_path = public',
        )
    if not makes:
        raise OwnerLacksRight(
            describe_database(dsn),
            role,
            f"it may make nothing in the schema {schema}",
            f'connect as the database\'s owner, or GRANT CREATE ON SCHEMA "{schema}" TO "{role}"',
        )
    if bypasses:
        return
    if forcing := [one.id for one in pending if _FORCES.search(one.path.read_text(encoding="utf-8"))]:
        raise OwnerLacksRight(
            describe_database(dsn),
            role,
            f"it has no BYPASSRLS, and {', '.join(forcing)} would hold it to row-level security",
            f'connect as the role that Neon made, or let a role that has it say ALTER ROLE "{role}" BYPASSRLS',
        )
