"""The security checklist, as far as the database can answer it; a line that cannot be told never holds."""

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict

from migrations.checks.security.application_role import check_application_role, check_rows_seen
from migrations.checks.security.areas import (
    OAUTH,
    encrypted_in,
    financial_tables,
    medical_tables,
    protected_tables,
)
from migrations.checks.security.audit import check_audit
from migrations.checks.security.encrypted import check_encrypted, check_masked
from migrations.checks.security.finding import Finding, Observations, State
from migrations.checks.security.row_security import check_row_security
from migrations.checks.security.tls import judge_tls, read_tls_state
from migrations.checks.security.tools import check_tools_tables
from migrations.database.session import reader
from migrations.disclosure.server_messages import safe_message
from migrations.encryption.cipher import KeyRing
from migrations.errors import DatabaseUnreachable, describe_database


@dataclass(frozen=True)
class Application:
    """What is known of how the application comes to the database.

    Attributes:
        role: the role that it connects as; None where it is not known.
        dsn: its connection string, a secret; None where it is not known.
    """

    role: str | None
    dsn: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, dsn: str | None, role: str | None) -> "Application":
        """What a connection string tells, where no role is named.

        Raises:
            DatabaseUnreachable: the string cannot be read.
        """
        if dsn is None or role is not None:
            return cls(role, dsn)
        try:
            user = conninfo_to_dict(dsn).get("user")
        except psycopg.ProgrammingError:
            # libpq's message would quote the string, and the password with it.
            raise DatabaseUnreachable(describe_database(dsn), "check how it is written") from None
        return cls(str(user) if user else None, dsn)


def check_database(dsn: str, *, ring: KeyRing | None, application: Application) -> tuple[Finding, ...]:
    """Check the lines that a database can answer, in one snapshot of it.

    Args:
        dsn: direct connection string of the owner.
        ring: the keys of encrypted columns; None where they are not at hand.
        application: how the application comes to it.

    Returns:
        A finding a line, in the order of the checklist.

    Raises:
        DatabaseUnreachable: the database does not answer.

    Locks: AccessShareLock on the tables that are read, until the last line is checked.
    """
    protected, medical = protected_tables(), medical_tables()
    health, finance = encrypted_in(medical), encrypted_in(financial_tables())
    strings = {"the owner": dsn} | ({"the application": application.dsn} if application.dsn else {})
    checks: dict[str, Callable[[psycopg.Connection], Observations]] = {
        "OAuth tokens are encrypted": lambda c: check_encrypted(c, encrypted_in(OAUTH), ring),
        "Medical data is encrypted": lambda c: check_encrypted(c, health, ring),
        "Financial numbers are encrypted, and masked": lambda c: check_masked(c, finance, ring),
        "Row-level security is enabled": lambda c: _row_security(c, protected, application),
        "Sensitive actions are in the audit log": lambda c: check_audit(c, application.role, medical),
        "Connections force TLS": lambda c: judge_tls(read_tls_state(c, strings)),
    }
    with reader(dsn) as connection:
        return tuple(_told(connection, line, check) for line, check in checks.items())


def _row_security(connection: psycopg.Connection, tables: tuple[str, ...], application: Application) -> Observations:
    observations = check_row_security(connection, tables, application.role)
    observations.add(check_application_role(connection, application.role))
    observations.add(check_tools_tables(connection, application.role))
    if application.dsn:
        observations.add(check_rows_seen(application.dsn, tables))
    return observations


def _told(connection: psycopg.Connection, line: str, check: Callable[[psycopg.Connection], Observations]) -> Finding:
    """Check one line in a savepoint, so that one that fails does not take the others with it."""
    try:
        with connection.transaction():
            return check(connection).finding(line)
    except psycopg.Error as error:
        if connection.broken:
            raise
        return Finding(line, State.CANNOT_TELL, safe_message(error).splitlines()[0])
