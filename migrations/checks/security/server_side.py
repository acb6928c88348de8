"""Whether a role reaches past the database into its server: programs and files."""

import psycopg

from migrations.database.session import reader

_PAST = """
SELECT CASE WHEN r.rolsuper THEN 'is a superuser'
            ELSE (SELECT 'is a member of ' || g.name
                  FROM (VALUES ('pg_execute_server_program'), ('pg_write_server_files'),
                               ('pg_read_server_files')) g(name)
                  WHERE pg_has_role(r.oid, g.name, 'MEMBER') LIMIT 1)
       END
FROM pg_roles r WHERE r.rolname = session_user
"""


def server_access(connection: psycopg.Connection) -> str | None:
    """Why a session may start programs on its server, or touch files there; None where it may not.

    Locks: none on user tables.

    Source: COPY … TO PROGRAM changes nothing in the database, so that a read-only transaction lets it through.
    """
    row = connection.execute(_PAST.encode()).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def server_access_of(dsn: str) -> str | None:
    """The same of a connection string's role.

    Raises:
        DatabaseUnreachable: the server did not answer.
    """
    with reader(dsn) as connection:
        return server_access(connection)
