"""What a database has, and what the roles may that a release uses: read, and nothing is changed."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from migrations.checks.users import clock

_READ = """
SELECT current_database(), current_user, current_setting('server_version_num')::int,
       pg_catalog.pg_has_role(current_user, d.datdba, 'USAGE'), r.rolsuper,
       EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_stat_statements')
FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
WHERE d.datname = current_database() AND r.rolname = current_user
"""
_ROLE = """
SELECT rolcanlogin, rolsuper, rolbypassrls,
       pg_catalog.pg_has_role(oid, (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()),
                              'MEMBER')
FROM pg_catalog.pg_roles WHERE rolname = %s
"""


@dataclass(frozen=True)
class Readiness:
    """A database as the role that migrates it sees it.

    Attributes:
        database: its name.
        user: the role.
        server_version: as PostgreSQL numbers it, such as 170002.
        owns_database: whether the role has the rights of the database's owner.
        superuser: whether the role is one.
        counts_statements: whether pg_stat_statements is there.
        moment: what the server calls now.
    """

    database: str
    user: str
    server_version: int
    owns_database: bool
    superuser: bool
    counts_statements: bool
    moment: datetime


@dataclass(frozen=True)
class RoleRights:
    """What a role may do that an application must not, and whether it may log in at all."""

    may_log_in: bool
    superuser: bool
    bypasses_row_security: bool
    acts_as_owner: bool

    @property
    def excess(self) -> tuple[str, ...]:
        """What it may do that an application must not, in words."""
        told = {
            "is a superuser": self.superuser,
            "sees every row": self.bypasses_row_security,
            "may act as the owner": self.acts_as_owner and not self.superuser,
        }
        return tuple(words for words, holds in told.items() if holds)


def read_readiness(connection: psycopg.Connection) -> Readiness:
    """What a database has, as the role that is connected sees it.

    Args:
        connection: a session that reads.

    Locks: AccessShareLock on system catalogues.
    """
    row = connection.execute(_READ).fetchone()
    if row is None:
        raise psycopg.DataError("the database told nothing of itself")
    return Readiness(*row, moment=clock(connection))


def read_role(connection: psycopg.Connection, name: str) -> RoleRights | None:
    """What a role may; None where the server has none of that name.

    Args:
        connection: a session that reads.
        name: the role.

    Locks: AccessShareLock on system catalogues.
    """
    row = connection.execute(_ROLE, (name,)).fetchone()
    return None if row is None else RoleRights(*row)
