"""Default privileges: what a database grants by itself on each table, sequence and function that a role creates."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

_READ = """
SELECT pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype::text,
       g.grantee = 0, pg_get_userbyid(g.grantee), g.privilege_type, g.is_grantable
FROM pg_default_acl d
LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
LEFT JOIN LATERAL aclexplode(d.defaclacl) g ON true
WHERE d.defaclobjtype IN ('r', 'S', 'f') AND pg_has_role(d.defaclrole, 'USAGE')
ORDER BY 1, 2 NULLS FIRST, 3, 4, 5, 6
"""
_OBJECTS = {"r": sql.SQL("TABLES"), "S": sql.SQL("SEQUENCES"), "f": sql.SQL("FUNCTIONS")}


@dataclass(frozen=True)
class DefaultPrivilege:
    """One privilege that a database grants by itself on new objects.

    Attributes:
        creator: the role whose new objects it applies to.
        schema: the schema that it is for; None for all.
        objects: r for tables, S for sequences, f for functions.
        grantee: who gets it; None for everybody.
        privilege: which one; None where nothing is granted, not even what PostgreSQL grants otherwise.
        grantable: whether the grantee may pass it on.
    """

    creator: str
    schema: str | None
    objects: str
    grantee: str | None
    privilege: str | None
    grantable: bool


def read_default_privileges(connection: psycopg.Connection) -> tuple[DefaultPrivilege, ...]:
    """What the database grants by itself on what this session's role makes, or roles that it acts as.

    Args:
        connection: a session of the role that applies revisions; what others make is nothing to them.

    Source: Neon sets default privileges of its own superuser, which an owner cannot become.

    Locks: AccessShareLock on pg_default_acl.
    """
    return tuple(
        DefaultPrivilege(creator, schema, objects, None if everybody else grantee, privilege, bool(grantable))
        for creator, schema, objects, everybody, grantee, privilege, grantable in connection.execute(_READ)
    )


def set_default_privileges(connection: psycopg.Connection, wanted: Sequence[DefaultPrivilege]) -> None:
    """Set the default privileges of another database on an empty one.

    Args:
        connection: of a role that is, or may become, each of the makers; its schemas must be there.
        wanted: what the other one grants.

    Raises:
        psycopg.Error: this server has not the same roles.

    Source: defaults of one schema add to what is granted anyway; those of all schemas stand for it.

    Locks: RowExclusiveLock on pg_default_acl.
    """
    for creator, objects in sorted({(one.creator, one.objects) for one in wanted if one.schema is None}):
        revoke = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {0} REVOKE ALL ON {1} FROM PUBLIC, {0}")
        connection.execute(revoke.format(sql.Identifier(creator), _OBJECTS[objects]))
    for one in wanted:
        if one.privilege is not None:
            connection.execute(_grant(one))


def _grant(one: DefaultPrivilege) -> sql.Composed:
    parts: list[sql.Composable] = [sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}").format(sql.Identifier(one.creator))]
    if one.schema is not None:
        parts.append(sql.SQL("IN SCHEMA {}").format(sql.Identifier(one.schema)))
    to = sql.SQL("PUBLIC") if one.grantee is None else sql.Identifier(one.grantee)
    what = sql.SQL(one.privilege or "")  # pyright: ignore[reportArgumentType] - PostgreSQL's own word.
    parts.append(sql.SQL("GRANT {} ON {} TO {}").format(what, _OBJECTS[one.objects], to))
    if one.grantable:
        parts.append(sql.SQL("WITH GRANT OPTION"))
    return sql.SQL(" ").join(parts)
