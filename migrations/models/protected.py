"""Rows that belong to one user alone: the keys, the checks and the policies of the health and finance tables.

A table is protected where its `info` says so; row-level security is then enabled and forced on it, with a policy for
the owner of the table, one for the application and one for services. Read migrations/versions for how each came to be.
"""

from typing import Any, Final

from sqlalchemy import (
    DDL,
    CheckConstraint,
    ForeignKeyConstraint,
    MetaData,
    PrimaryKeyConstraint,
    UniqueConstraint,
    event,
)
from sqlalchemy.schema import SchemaItem

from migrations.encryption.cipher import CIPHERTEXT_PATTERN
from migrations.models.base import reference

PROTECTED: Final = {"protected": True}
MEDICAL: Final = {"protected": True, "medical": True}

RECORD_MEDICAL_ACCESS: Final = """
CREATE FUNCTION record_medical_access(accessed text) RETURNS uuid LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
  reader uuid := NULLIF(current_setting('app.user_id', true), '')::uuid;
BEGIN
  IF reader IS NULL THEN
    RETURN NULL;
  END IF;
  INSERT INTO audit_logs ("adminId", action, "targetType", details, "ipAddress")
  VALUES (reader, 'health.access', accessed,
          jsonb_build_object('role', current_user, 'application', current_setting('application_name')),
          inet_client_addr());
  RETURN '00000000-0000-0000-0000-000000000000';
END
$$
"""

_LOWEST: Final = "'00000000-0000-0000-0000-000000000000'::uuid"
_HIGHEST: Final = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
_OF_THE_OWNER: Final = """
FROM pg_catalog.pg_class c WHERE c.oid = '"{table}"'::regclass AND pg_has_role(current_user, c.relowner, 'MEMBER')
"""
_OF_A_SERVICE: Final = """
FROM pg_catalog.pg_roles r WHERE r.rolname = 'pilotage_service' AND pg_has_role(current_user, r.oid, 'USAGE')
"""


def owned(table: str) -> tuple[SchemaItem, ...]:
    """The key of a table of users' rows, and the reference to the user; the user's rows go with the user."""
    return (
        PrimaryKeyConstraint("id", name=f"{table}_pkey"),
        reference(f"{table}_userId_fkey", "userId", "users.id"),
    )


def referenced(table: str) -> UniqueConstraint:
    """What rows of the same user reference a row by; it serves the reference to the user as well."""
    return UniqueConstraint("userId", "id", name=f"{table}_userId_id_key")


def of_same_user(table: str, column: str, to: str, *, ondelete: str | None = None) -> ForeignKeyConstraint:
    """A reference that can only lead to a row of the same user.

    Relationships join by the column alone: one that also wrote "userId" would clear it with the reference.

    Args:
        table: the table that references.
        column: its column beside "userId".
        to: the table that is referenced.
        ondelete: what becomes of the row; without it, what is referenced cannot be deleted alone.
    """
    return ForeignKeyConstraint(
        ["userId", column],
        [f"{to}.userId", f"{to}.id"],
        name=f"{table}_{column}_fkey",
        ondelete=ondelete,
        onupdate="CASCADE",
    )


def encrypted(table: str, *columns: str) -> tuple[CheckConstraint, ...]:
    """The checks that let nothing but ciphertext into columns."""
    return tuple(
        CheckConstraint(f"\"{column}\" ~ '{CIPHERTEXT_PATTERN}'", name=f"{table}_{column}_check") for column in columns
    )


def one_of(table: str, column: str, *values: str) -> CheckConstraint:
    """The check of a column that holds one of a few words."""
    words = ", ".join(f"'{value}'" for value in values)
    # Without the cast, PostgreSQL writes it so that it reads it back as another one.
    return CheckConstraint(f'"{column}"::text IN ({words})', name=f"{table}_{column}_check")


def currency(table: str, column: str = "currency") -> CheckConstraint:
    """The check of a column that holds the code of a currency."""
    return CheckConstraint(f"\"{column}\" ~ '^[A-Z]{{3}}$'", name=f"{table}_{column}_check")


def policies(table: str, *, medical: bool) -> tuple[str, ...]:
    """The statements that protect a table.

    Each policy is a range of "userId" whose bounds are looked up once a query: so the index on "userId" serves an
    application that sees one user's rows, which no condition on roles alone, OR-ed to it, would let it.

    Args:
        table: its name.
        medical: whether access by a service is recorded in audit_logs, by the act itself.
    """
    owner = f'"userId" BETWEEN (SELECT {_LOWEST} {_OF_THE_OWNER.format(table=table).strip()}) AND {_HIGHEST}'
    service = f'"userId" BETWEEN (SELECT {_LOWEST} {_OF_A_SERVICE.strip()}) AND {_HIGHEST}'
    application = """"userId" = (SELECT NULLIF(current_setting('app.user_id', true), '')::uuid)"""
    seen = service.replace(_LOWEST, f"record_medical_access('{table}')") if medical else service
    return (
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
        f'CREATE POLICY "{table}_owner" ON "{table}" USING ({owner}) WITH CHECK ({owner})',
        f'CREATE POLICY "{table}_application" ON "{table}" USING ({application}) WITH CHECK ({application})',
        f'CREATE POLICY "{table}_service" ON "{table}" USING ({seen}) WITH CHECK ({service})',
    )


def add_policies(metadata: MetaData) -> None:
    """Let each protected table of the models be made with its policies, and what they call before all tables."""
    recording = RECORD_MEDICAL_ACCESS.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    event.listen(metadata, "before_create", _ddl(recording))
    for table in metadata.tables.values():
        info: dict[Any, Any] = table.info
        if info.get("protected"):
            for statement in policies(table.name, medical=bool(info.get("medical"))):
                event.listen(table, "after_create", _ddl(statement))


def _ddl(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))
