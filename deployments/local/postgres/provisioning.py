"""The database of the application: its owner, and the role of the application, which may not change the schema."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from psycopg import sql

NEON_SUPERUSER = "neon_superuser"
"""The role whose members Neon's API and console make."""


@dataclass(frozen=True)
class Login:
    """A role and its password."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class ProvisionedDatabase:
    """A database on a running server, and how each role connects to it."""

    name: str
    owner: str
    app: str
    owner_dsn: str = field(repr=False)
    app_dsn: str = field(repr=False)
    superuser_dsn: str = field(repr=False)


def provision(superuser: psycopg.Connection[tuple[object, ...]], *, database: str, owner: Login, app: Login) -> None:
    """Make a database, its owner as Neon makes it, and the application's role.

    The owner is no superuser: what it may it has from Neon's own role, and the schema `public` is its own as the
    database's owner alone. The application may read and write the rows of the tables that the owner makes in `public`,
    now and later, and nothing else.

    Args:
        superuser: A connection of a superuser to the server, in autocommit.
        database: The name of the database, which is made.
        owner: The role that is made to own it.
        app: The role that is made for the application.

    Locks: none on user tables.
    """
    create_managed(superuser, owner)
    create_login(superuser, app)
    create_database(superuser, database, owner.name)
    superuser.execute(
        sql.SQL("REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO {1}").format(
            sql.Identifier(database), sql.Identifier(app.name)
        )
    )
    with psycopg.connect(superuser.info.dsn, password=superuser.info.password, dbname=database) as inside:
        _grant_to_app(inside, owner.name, app.name)


def create_managed(superuser: psycopg.Connection[tuple[object, ...]], login: Login, *, may_login: bool = True) -> None:
    """Make a role as Neon's API and console make it.

    Source: such a role has CREATEDB, CREATEROLE, BYPASSRLS and REPLICATION, and is a member of `neon_superuser`, which
    reads and writes all data, and may pass on that it monitors and ends sessions.
    """
    _ensure_neon_superuser(superuser)
    create_login(superuser, login, may_login=may_login)
    superuser.execute(
        sql.SQL("ALTER ROLE {0} CREATEDB CREATEROLE BYPASSRLS REPLICATION; GRANT {1} TO {0}").format(
            sql.Identifier(login.name), sql.Identifier(NEON_SUPERUSER)
        )
    )


def _ensure_neon_superuser(superuser: psycopg.Connection[tuple[object, ...]]) -> None:
    if superuser.execute("SELECT FROM pg_roles WHERE rolname = %s", [NEON_SUPERUSER]).fetchone() is not None:
        return
    name = sql.Identifier(NEON_SUPERUSER)
    superuser.execute(
        sql.SQL(
            "CREATE ROLE {0} NOLOGIN CREATEDB CREATEROLE BYPASSRLS REPLICATION;"
            " GRANT pg_read_all_data, pg_write_all_data TO {0};"
            " GRANT pg_monitor, pg_signal_backend TO {0} WITH ADMIN OPTION"
        ).format(name)
    )
    if superuser.info.server_version >= 160000:
        superuser.execute(sql.SQL("GRANT pg_create_subscription TO {}").format(name))


def create_login(superuser: psycopg.Connection[tuple[object, ...]], login: Login, *, may_login: bool = True) -> None:
    """Make a role that can do nothing but log in."""
    superuser.execute(
        sql.SQL("CREATE ROLE {} {}").format(
            sql.Identifier(login.name), sql.SQL("LOGIN") if may_login else sql.SQL("NOLOGIN")
        )
    )
    set_password(superuser, login)


def set_password(superuser: psycopg.Connection[tuple[object, ...]], login: Login) -> None:
    """Set the password of a role, so that it is sent and logged as a verifier only."""
    verifier = superuser.pgconn.encrypt_password(login.password.encode(), login.name.encode(), b"scram-sha-256")
    superuser.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login.name), sql.Literal(verifier.decode()))
    )


def create_database(superuser: psycopg.Connection[tuple[object, ...]], name: str, owner: str) -> None:
    """Make an empty database, as Neon makes it.

    Source: what Neon's own superuser makes in `public` later is for `neon_superuser` too. These default privileges are
    of a role that the owner cannot become.
    """
    _ensure_neon_superuser(superuser)
    superuser.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
    with psycopg.connect(superuser.info.dsn, password=superuser.info.password, dbname=name) as inside:
        for objects in ("TABLES", "SEQUENCES"):
            inside.execute(
                sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {} TO {} WITH GRANT OPTION").format(
                    sql.SQL(objects), sql.Identifier(NEON_SUPERUSER)
                )
            )


def _grant_to_app(inside: psycopg.Connection[tuple[object, ...]], owner: str, app: str) -> None:
    roles = {"owner": sql.Identifier(owner), "app": sql.Identifier(app)}
    available = inside.execute(
        "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"
        " AND current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'"
    )
    if available.fetchone():
        inside.execute("CREATE EXTENSION pg_stat_statements")
    inside.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {app}").format(**roles))
    for what in ("SELECT, INSERT, UPDATE, DELETE ON TABLES", "USAGE, SELECT ON SEQUENCES"):
        inside.execute(
            sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT {what} TO {app}").format(
                what=sql.SQL(what), **roles
            )
        )
