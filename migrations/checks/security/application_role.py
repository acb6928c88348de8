"""The application's role: it changes no schema, and nothing lets it past row-level security."""

from typing import Final

import psycopg
from psycopg import sql

from migrations.checks.security.finding import Observations
from migrations.database.direct_connections import CONNECT_TIMEOUT_S

SERVICE: Final = "pilotage_service"

_ATTRIBUTES = """
SELECT r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolreplication,
       (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')),
       EXISTS (SELECT FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND has_schema_privilege(r.oid, n.oid, 'CREATE')),
       has_database_privilege(r.oid, current_database(), 'CREATE')
FROM pg_roles r WHERE r.rolname = %s
"""

_MEMBER_OF = """
SELECT r.rolname FROM pg_roles r JOIN pg_roles me ON me.rolname = %(role)s
WHERE r.oid <> me.oid AND pg_has_role(me.oid, r.oid, 'MEMBER')
  AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
       OR r.rolname IN (%(service)s, 'pg_write_all_data', 'pg_write_server_files', 'pg_read_server_files',
                        'pg_execute_server_program')
       OR EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relnamespace = 'public'::regnamespace))
ORDER BY 1
"""


def check_application_role(connection: psycopg.Connection, role: str | None) -> Observations:
    """Look at what the application's role may do.

    Args:
        connection: a session that reads.
        role: the role that the application connects as; None where it is not known.

    Locks: none on user tables.

    Source: superusers and roles with BYPASSRLS pass every policy, the owner of a table may change it, and a role may
    become each role that it is a member of.
    """
    observations = Observations()
    if role is None:
        observations.unknown.append("the application's role is not known: set NEON_APP_ROLE, or give --app-role")
        return observations
    row = connection.execute(_ATTRIBUTES, (role,)).fetchone()
    if row is None:
        observations.unknown.append(f"there is no role {role}")
        return observations
    for held, what in zip(row[:5], ("SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION"), strict=True):
        if held:
            observations.wrong.append(f"{role} has {what}")
    if row[5]:
        observations.wrong.append(f"{role} owns {row[5]} tables, views or sequences")
    if row[6] or row[7]:
        observations.wrong.append(f"{role} may create {'tables' if row[6] else 'schemas'}")
    for (other,) in connection.execute(_MEMBER_OF, {"role": role, "service": SERVICE}).fetchall():
        observations.wrong.append(f"{role} is a member of {other}")
    observations.good.append(f"{role} changes no schema and bypasses nothing")
    return observations


def check_rows_seen(application_dsn: str, tables: tuple[str, ...]) -> Observations:
    """Connect as the application, name no user, and look whether a row is seen.

    Args:
        application_dsn: connection string of the application; a pooled one will do.
        tables: the tables that must show nothing; those that are not there are passed over.

    Locks: AccessShareLock on each table, for one look.
    """
    observations = Observations()
    looked = 0
    try:
        with psycopg.connect(
            application_dsn, connect_timeout=CONNECT_TIMEOUT_S, prepare_threshold=None, application_name="pilotage"
        ) as connection:
            connection.read_only = True
            for table in tables:
                there = connection.execute("SELECT to_regclass(format('public.%%I', %s::text))", (table,)).fetchone()
                if there is None or there[0] is None:
                    continue
                looked += 1
                query = sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier("public", table))
                if connection.execute(query).fetchone() is not None:
                    observations.wrong.append(f"the application sees rows of {table} without naming a user")
    except psycopg.Error as error:
        said = (error.diag.message_primary or type(error).__name__).strip()
        observations.unknown.append(f"looking as the application failed: {said}")
        return observations
    if looked:
        observations.good.append(f"the application sees no row of {looked} tables without naming a user")
    return observations
