"""The super admin: the one user who is created by hand, in production too."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from migrations.database.session import connect
from migrations.errors import DatabaseRefused, describe_database
from migrations.protection.super_admin_errors import AnotherRole, NotAnAddress

ACTION: Final = "user.create_super_admin"
_ADDRESS: Final = re.compile(r"[^@\s<>\"]+@[^@\s<>\".]+(\.[^@\s<>\".]+)+")
_LONGEST: Final = 255


@dataclass(frozen=True)
class SuperAdmin:
    """A super admin.

    Attributes:
        id: of the user.
        email: the address that the user has.
        created: whether this call created the user.
        active: whether the user may log in.
    """

    id: UUID
    email: str
    created: bool
    active: bool


def create_super_admin(dsn: str, *, email: str, name: str, requested_by: str) -> SuperAdmin:
    """Create a super admin, and record it in the audit log, in one transaction; or find the one that is there.

    Args:
        dsn: direct connection string of the owner.
        email: address of the person; letters in capitals make no other person.
        name: name of the person.
        requested_by: who asked for it, for the audit log.

    Raises:
        NotAnAddress: the address is none.
        AnotherRole: a user of that address exists, with another role; nothing was changed.
        DatabaseRefused: the database has no such tables, or refused the row.

    Locks: RowExclusiveLock on users and audit_logs, for two rows.
    """
    email = email.strip()
    if not _ADDRESS.fullmatch(email) or len(email) > _LONGEST:
        raise NotAnAddress(email)
    try:
        with connect(dsn) as connection:
            found = _existing(connection, email)
            if found is None:
                found = _created(connection, email, name.strip(), requested_by) or _existing(connection, email)
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "creating the super admin", error) from error
    # Somebody may have taken the address away between the insert and the second look.
    if found is None or found[1] != "SUPER_ADMIN":
        raise AnotherRole(email, found[1] if found else "unknown", describe_database(dsn))
    return found[0]


def _existing(connection: psycopg.Connection, email: str) -> tuple[SuperAdmin, str] | None:
    row = connection.execute(
        'SELECT id, email, role::text, "isActive" FROM users WHERE lower(email) = lower(%s) ORDER BY email = %s DESC',
        (email, email),
    ).fetchone()
    return (SuperAdmin(row[0], row[1], created=False, active=row[3]), row[2]) if row else None


def _created(connection: psycopg.Connection, email: str, name: str, requested_by: str) -> tuple[SuperAdmin, str] | None:
    """The new user; None where somebody else has just created one of that address."""
    row = connection.execute(
        """INSERT INTO users (email, name, role, "subscriptionTier", "emailVerified", "updatedAt")
           VALUES (%s, %s, 'SUPER_ADMIN', 'UNLIMITED', now(), now()) ON CONFLICT (email) DO NOTHING RETURNING id""",
        (email, name),
    ).fetchone()
    if row is None:
        return None
    typed = connection.execute(
        """SELECT FROM pg_attribute WHERE attrelid = 'audit_logs'::regclass AND attname = 'targetType'
           AND NOT attisdropped"""
    ).fetchone()
    details = Jsonb({"email": email, "requestedBy": requested_by})
    if typed is None:
        connection.execute(
            'INSERT INTO audit_logs ("adminId", action, "targetId", details) VALUES (%s, %s, %s, %s)',
            (row[0], ACTION, row[0], details),
        )
    else:
        connection.execute(
            """INSERT INTO audit_logs ("adminId", action, "targetType", "targetId", details)
               VALUES (%s, %s, 'user', %s, %s)""",
            (row[0], ACTION, row[0], details),
        )
    return SuperAdmin(row[0], email, created=True, active=True), "SUPER_ADMIN"
