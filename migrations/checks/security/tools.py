"""Where tools keep where the schema stands: nobody but the owner writes there, the application least of all."""

import psycopg

from migrations.checks.security.finding import Observations
from migrations.database.tools_tables import granted_writes, writable_by


def check_tools_tables(connection: psycopg.Connection, role: str | None) -> Observations:
    """Look who may write the version tables of Alembic and Prisma, and what the product keeps.

    Args:
        connection: a session that reads.
        role: the role that the application connects as; None where it is not known.

    Locks: none on user tables.
    """
    observations = Observations()
    there = None if role is None else connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    held = writable_by(connection, role) if role is not None and there is not None else ()
    observations.wrong += [f"{role} may write {name}, which says where the schema stands" for name in held]
    observations.wrong += [
        f"{who} may write {name}, which says where the schema stands"
        for who, name in granted_writes(connection)
        if who != role
    ]
    if role is not None and there is not None:
        observations.good.append(f"{role} writes nothing that says where the schema stands")
    return observations
