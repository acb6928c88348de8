"""The roles beside the owner: the application's, one that only reads, and services, who see every user's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from migrations.errors import DatabaseRefused

SERVICES: Final = "pilotage_service"
"""The role whose members the policies of protected tables take for services."""

_READ: Final = sql.SQL("SELECT")
_WRITE: Final = sql.SQL("SELECT, INSERT, UPDATE, DELETE")
_SEQUENCES: Final = sql.SQL("USAGE, SELECT")

_GIVEN: Final = """
SELECT r.rolname, r.rolcanlogin,
       count(c.oid) FILTER (WHERE has_table_privilege(r.oid, c.oid, 'SELECT')),
       count(c.oid) FILTER (WHERE has_table_privilege(r.oid, c.oid, 'INSERT'))
FROM pg_roles r
LEFT JOIN pg_class c ON c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                    AND c.relname <> 'alembic_version'
WHERE r.rolname = ANY (%s)
GROUP BY r.rolname, r.rolcanlogin
ORDER BY array_position(%s, r.rolname::text)
"""


@dataclass(frozen=True)
class RoleGiven:
    """What a role has.

    Attributes:
        name: the role.
        logs_in: whether it may log in.
        reads: how many tables it may read, as far as row-level security shows it their rows.
        writes: how many it may add rows to.
    """

    name: str
    logs_in: bool
    reads: int
    writes: int


def ensure_roles(connection: psycopg.Connection, *, application: str, read_only: str, service: str = SERVICES) -> None:
    """Make the three roles where they are missing, and give each what it needs, no more.

    The application and the service read and write rows; the other one reads. None of them may change the schema, none
    goes round row-level security, and none may change what audit_logs holds. Roles that are made may not log in: that,
    and a password, is to be given to them, or to members of theirs. Doing it twice changes nothing.

    Args:
        connection: of the owner of the tables, who may make roles.
        application: the role that the application logs in as.
        read_only: the role that reads; rows of protected tables stay hidden from it.
        service: the role of services; made a member of pilotage_service where it is another one.

    Raises:
        DatabaseRefused: the owner may not make roles.

    Locks: RowExclusiveLock on the system catalogues; none on user tables.
    """
    try:
        with connection.transaction():
            for role in dict.fromkeys((SERVICES, service, application, read_only)):
                _ensure_role(connection, role)
            _ensure_membership(connection, service)
            _grant(connection, application, _WRITE, sequences=True)
            _grant(connection, service, _WRITE, sequences=True)
            _grant(connection, read_only, _READ)
            _let_audit_logs_only_grow(connection, application, service, read_only)
    except psycopg.Error as error:
        raise DatabaseRefused.of(connection.info.dsn, "making roles", error) from error


def given_roles(connection: psycopg.Connection, names: Sequence[str]) -> tuple[RoleGiven, ...]:
    """What roles have, in the order that they are named in; those that are not there are left out.

    Locks: none on user tables.
    """
    wanted = list(dict.fromkeys(names))
    return tuple(RoleGiven(*row) for row in connection.execute(_GIVEN, (wanted, wanted)).fetchall())


def _ensure_role(connection: psycopg.Connection, role: str) -> None:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def _ensure_membership(connection: psycopg.Connection, service: str) -> None:
    row = connection.execute("SELECT pg_has_role(%s::name, %s::name, 'USAGE')", (service, SERVICES)).fetchone()
    if row is None or not row[0]:
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(SERVICES), sql.Identifier(service)))


def _grant(connection: psycopg.Connection, role: str, tables: sql.SQL, *, sequences: bool = False) -> None:
    to = sql.Identifier(role)
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(to))
    given = [(tables, sql.SQL("TABLES"))]
    if sequences:
        given.append((_SEQUENCES, sql.SQL("SEQUENCES")))
    for what, objects in given:
        now = sql.SQL("GRANT {} ON ALL {} IN SCHEMA public TO {}")
        later = sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {} ON {} TO {}")
        connection.execute(now.format(what, objects, to))
        connection.execute(later.format(what, objects, to))


def _let_audit_logs_only_grow(connection: psycopg.Connection, *roles: str) -> None:
    row = connection.execute("SELECT to_regclass('public.audit_logs')").fetchone()
    if row is None or row[0] is None:
        return
    for role in dict.fromkeys(roles):
        connection.execute(
            sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE ON public.audit_logs FROM {}").format(sql.Identifier(role))
        )
