"""The roles beside the owner: the application's, one that only reads, and services, who see every user's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from migrations.database.tools_tables import OF_A_TOOL, take_writes, writable_by
from migrations.errors import DatabaseRefused, describe_database
from migrations.protection._role_names import refuse_unfit
from migrations.protection.role_errors import RoleKeepsRight

SERVICES: Final = "pilotage_service"
"""The role whose members the policies of protected tables take for services."""

_READ: Final = sql.SQL("SELECT")
_WRITE: Final = sql.SQL("SELECT, INSERT, UPDATE, DELETE")
_SEQUENCES: Final = sql.SQL("USAGE, SELECT")
# What an extension brought is not the application's, though the owner may grant it.
_OF_THE_APPLICATION: Final = f"""
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = ANY (%s) AND NOT {OF_A_TOOL}
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1
"""  # noqa: S608 - a condition of our own.

_GIVEN: Final = f"""
SELECT r.rolname, r.rolcanlogin,
       count(c.oid) FILTER (WHERE has_table_privilege(r.oid, c.oid, 'SELECT')),
       count(c.oid) FILTER (WHERE has_table_privilege(r.oid, c.oid, 'INSERT'))
FROM pg_roles r
LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace)
       ON n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT {OF_A_TOOL}
WHERE r.rolname = ANY (%s)
GROUP BY r.rolname, r.rolcanlogin
ORDER BY array_position(%s, r.rolname::text)
"""  # noqa: S608 - a condition of our own.


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
    goes round row-level security, and none may change what audit_logs holds, or what Alembic and the product keep.
    Roles that are made may not log in: that, and a password, is to be given to them, or to members of theirs. Doing it
    twice changes nothing.

    Args:
        connection: of the owner of the tables; it may make roles where one is missing.
        application: the role that the application logs in as.
        read_only: the role that reads; rows of protected tables stay hidden from it.
        service: the role of services; made a member of pilotage_service where it is another one.

    Raises:
        RoleRefused: a name is no role's to have, or the role is the owner's own, or more than these may be; or the
            owner may not make or grant what is missing. Nothing was written.
        RoleKeepsRight: a role has from elsewhere what was to be taken from it; nothing was changed.
        DatabaseRefused: the database refused.

    Locks: RowExclusiveLock on the system catalogues; none on user tables.
    """
    try:
        with connection.transaction():
            refuse_unfit(connection, application=application, read_only=read_only, service=service, services=SERVICES)
            for role in dict.fromkeys((SERVICES, service, application, read_only)):
                _ensure_role(connection, role)
            _ensure_membership(connection, service)
            _grant(connection, application, _WRITE, sequences=True)
            _grant(connection, service, _WRITE, sequences=True)
            _grant(connection, read_only, _READ)
            _let_audit_logs_only_grow(connection, application, service, read_only)
            take_writes(connection, application, service, read_only)
            for role in (application, service, read_only):
                if held := writable_by(connection, role):
                    raise RoleKeepsRight(describe_database(connection.info.dsn), role, held)
    except psycopg.Error as error:
        raise DatabaseRefused.of(connection.info.dsn, "making roles", error) from error


def given_roles(connection: psycopg.Connection, names: Sequence[str]) -> tuple[RoleGiven, ...]:
    """What roles have, in the order that they are named in; those that are not there are left out.

    Locks: none on user tables.
    """
    wanted = list(dict.fromkeys(names))
    return tuple(RoleGiven(*row) for row in connection.execute(_GIVEN.encode(), (wanted, wanted)).fetchall())


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
    given = [(tables, sql.SQL("TABLE"), ["r", "p", "v", "m", "f"])]
    if sequences:
        given.append((_SEQUENCES, sql.SQL("SEQUENCE"), ["S"]))
    for what, kind, kinds in given:
        for (name,) in connection.execute(_OF_THE_APPLICATION.encode(), (kinds,)).fetchall():
            now = sql.SQL("GRANT {} ON {} {} TO {}")
            connection.execute(now.format(what, kind, sql.Identifier("public", name), to))
        later = sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {} ON {}S TO {}")
        connection.execute(later.format(what, kind, to))


def _let_audit_logs_only_grow(connection: psycopg.Connection, *roles: str) -> None:
    row = connection.execute("SELECT to_regclass('public.audit_logs')").fetchone()
    if row is None or row[0] is None:
        return
    for role in dict.fromkeys(roles):
        connection.execute(
            sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE ON public.audit_logs FROM {}").format(sql.Identifier(role))
        )
