"""Which roles may be the application's, the reading one's and the services': none that is the owner, or acts as it."""

from typing import Final

import psycopg

from migrations.protection.role_errors import RoleRefused

_LONGEST: Final = 63
_RESERVED: Final = {"public", "none", "current_role", "current_user", "session_user", "neon_superuser"}
_ANOTHER: Final = "name another role"

# Source: since PostgreSQL 16 who makes a role is its member by the right to pass it on alone, which acts as nobody; so
# SET and USAGE are asked for there, which version 15 has as one.
_POWERS: Final = """
WITH acting AS (
    SELECT r.* FROM pg_roles me JOIN pg_roles r ON pg_has_role(me.oid, r.oid, %(how)s) WHERE me.rolname = %(role)s
), owners AS (
    SELECT relowner AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION SELECT nspowner FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    UNION SELECT datdba FROM pg_database WHERE datname = current_database()
)
SELECT rolname,
       CASE WHEN rolname IN (session_user, current_user) THEN 'is the role of this session'
            WHEN rolsuper THEN 'is a superuser'
            WHEN oid IN (SELECT oid FROM owners) AND rolname <> 'pg_database_owner' THEN 'owns this database or tables'
            WHEN rolname = 'pg_database_owner' THEN 'owns this database'
            WHEN rolname = 'neon_superuser' THEN 'is what Neon''s API makes roles members of'
            WHEN rolname = 'pg_write_all_data' THEN 'writes every table'
            WHEN rolbypassrls THEN 'goes round row-level security'
       END AS why
FROM acting
WHERE rolname IN (session_user, current_user, 'neon_superuser', 'pg_database_owner', 'pg_write_all_data')
   OR rolsuper OR rolbypassrls OR oid IN (SELECT oid FROM owners)
ORDER BY rolname <> %(role)s, rolname NOT IN (session_user, current_user), rolname
LIMIT 1
"""
_MAY: Final = """
SELECT r.rolsuper OR r.rolcreaterole,
       r.rolsuper OR pg_has_role(r.oid, s.oid, 'MEMBER WITH ADMIN OPTION')
       OR r.rolcreaterole AND current_setting('server_version_num')::int < 160000
FROM pg_roles r LEFT JOIN pg_roles s ON s.rolname = %s WHERE r.rolname = current_user
"""


def refuse_unfit(
    connection: psycopg.Connection, *, application: str, read_only: str, service: str, services: str
) -> None:
    """Make sure of every name, and that the owner may make and grant what is missing, before anything is written.

    Args:
        connection: of the owner of the tables.
        application: the role that the application logs in as.
        read_only: the role that reads.
        service: the role of services.
        services: the role whose members services are.

    Raises:
        RoleRefused: one of them is no such role, or the owner may not make it.

    Locks: none on user tables.
    """
    named = {"the application": application, "the reader": read_only, "the services": service}
    for role in named.values():
        _refuse_name(role)
    for whose, role in named.items():
        if same := [other for other, its in named.items() if its == role and other != whose]:
            raise RoleRefused(role, f"{whose} and {same[0]} would be one role", "give each a role of its own")
        if role == services and whose != "the services":
            raise RoleRefused(role, "its members see the rows of every user", f"{_ANOTHER} for {whose}")
        _refuse_powerful(connection, role)
    _refuse_helpless(connection, tuple(dict.fromkeys((services, *named.values()))), service, services)


def _refuse_name(role: str) -> None:
    if not role.strip() or role != role.strip() or not role.isprintable():
        raise RoleRefused(role, "a name is blank, begins or ends with a blank, or cannot be printed", _ANOTHER)
    if len(role.encode()) > _LONGEST:
        raise RoleRefused(role, f"PostgreSQL cuts names after {_LONGEST} bytes", "name a shorter one")
    if role.lower() in _RESERVED or role.lower().startswith("pg_"):
        raise RoleRefused(role, "that name is PostgreSQL's or Neon's own", _ANOTHER)


def _refuse_powerful(connection: psycopg.Connection, role: str) -> None:
    how = "USAGE, SET" if connection.info.server_version >= 160000 else "MEMBER"
    row = connection.execute(_POWERS, {"role": role, "how": how}).fetchone()
    if row is None:
        return
    acting, why = row
    through = "it" if acting == role else f"it is a member of {acting}, which"
    raise RoleRefused(role, f"{through} {why}", f"{_ANOTHER}, made in SQL without such rights")


def _refuse_helpless(connection: psycopg.Connection, roles: tuple[str, ...], service: str, services: str) -> None:
    row = connection.execute(_MAY, (services,)).fetchone()
    there = {
        str(name)
        for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (list(roles),))
    }
    me = connection.info.user
    makes, grants = (False, False) if row is None else (bool(row[0]), bool(row[1]))
    if (missing := [role for role in roles if role not in there]) and not makes:
        raise RoleRefused(
            missing[0],
            f"there is no such role, and {me} has no CREATEROLE",
            f'ALTER ROLE "{me}" CREATEROLE, or make it',
        )
    if service == services or services not in there or grants:
        return
    member = connection.execute(
        "SELECT pg_has_role(rolname, %s, 'USAGE') FROM pg_roles WHERE rolname = %s", (services, service)
    )
    if (found := member.fetchone()) is None or not found[0]:
        raise RoleRefused(
            service,
            f"{services} was made by another role, and {me} may not make anybody its member",
            f'let that role, or a superuser, say GRANT "{services}" TO "{me}" WITH ADMIN OPTION',
        )
