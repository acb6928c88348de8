"""The tables in which tools keep where a schema stands: who may write there could say what is not so."""

from typing import Final

import psycopg
from psycopg import sql

# Source: Alembic's version table has one column, version_num, whatever a project calls it and wherever it puts it.
OF_A_TOOL: Final = """
(n.nspname = 'pilotage' OR n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (
    c.relname IN ('alembic_version', '_prisma_migrations')
    OR (SELECT array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) = ARRAY['version_num']))
AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""
"""The condition on a relation c of a namespace n."""

_KEEP = """
DO $$
DECLARE
  it record;
BEGIN
  FOR it IN
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass::text AS what,
           CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee,
           bool_or(g.privilege_type = 'SELECT') AS reads
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(c.relacl) g
    WHERE {made} AND g.grantee <> c.relowner AND pg_has_role(c.relowner, 'USAGE')
    GROUP BY 1, 2
    HAVING bool_or(g.privilege_type <> 'SELECT' OR g.is_grantable)
  LOOP
    EXECUTE 'REVOKE ALL ON ' || it.what || ' FROM ' || it.grantee || ' CASCADE';
    IF it.reads THEN
      EXECUTE 'GRANT SELECT ON ' || it.what || ' TO ' || it.grantee;
    END IF;
  END LOOP;
END $$
"""
KEEP_VERSION_TABLE: Final = _KEEP.format(made="c.oid = to_regclass('alembic_version')")
"""Takes what default privileges gave on Alembic's table, which was just made, but for reading it."""
KEEP_OURS: Final = _KEEP.format(made="n.nspname = 'pilotage' AND c.relkind IN ('r', 'S')")
"""The same for the tables in the schema pilotage."""

_WRITES = "INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER"
_OURS = f"""
SELECT n.nspname, c.relname, c.relkind = 'S', n.nspname = 'pilotage'
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {OF_A_TOOL} AND pg_has_role(c.relowner, 'USAGE')
ORDER BY 1, 2
"""  # noqa: S608 - the condition above.
_HELD = f"""
SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {OF_A_TOOL} AND CASE c.relkind
    WHEN 'S' THEN has_sequence_privilege(%(role)s::name, c.oid, 'USAGE, UPDATE, SELECT WITH GRANT OPTION')
    ELSE has_table_privilege(%(role)s::name, c.oid, '{_WRITES}, SELECT WITH GRANT OPTION')
         OR has_any_column_privilege(%(role)s::name, c.oid, 'INSERT, UPDATE, REFERENCES, SELECT WITH GRANT OPTION')
    END
UNION ALL
SELECT 'schema pilotage' FROM pg_catalog.pg_namespace n
WHERE n.nspname = 'pilotage' AND has_schema_privilege(%(role)s::name, n.oid, 'CREATE, USAGE WITH GRANT OPTION')
ORDER BY 1
"""  # noqa: S608 - the condition above.
_GRANTED = f"""
WITH tools AS (
    SELECT c.oid, c.relowner, c.relacl, c.oid::regclass::text AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {OF_A_TOOL}
), given AS (
    SELECT t.name, t.relowner AS owner, g.grantee, g.privilege_type, g.is_grantable
    FROM tools t CROSS JOIN LATERAL aclexplode(t.relacl) g
    UNION ALL
    SELECT t.name, t.relowner, g.grantee, g.privilege_type, g.is_grantable
    FROM tools t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid CROSS JOIN LATERAL aclexplode(a.attacl) g
    UNION ALL
    SELECT 'schema pilotage', n.nspowner, g.grantee,
           CASE g.privilege_type WHEN 'USAGE' THEN 'SELECT' ELSE g.privilege_type END, g.is_grantable
    FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) g WHERE n.nspname = 'pilotage'
)
SELECT DISTINCT CASE grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(grantee)::text END, name
FROM given LEFT JOIN pg_catalog.pg_roles r ON r.oid = grantee
WHERE grantee <> owner AND r.rolsuper IS NOT TRUE AND (privilege_type NOT IN ('SELECT', 'MAINTAIN') OR is_grantable)
ORDER BY 1, 2
"""  # noqa: S608 - the condition above.


def take_writes(connection: psycopg.Connection, *roles: str) -> None:
    """Take from roles, and from everybody, what writes the tools' tables; Alembic's and Prisma's may be read.

    Args:
        connection: of the owner of the tables; those of others are left as they are.
        roles: the roles.

    Locks: RowExclusiveLock on the system catalogues; none on user tables.
    """
    for schema, name, is_sequence, is_ours in connection.execute(_OURS.encode()).fetchall():
        what = sql.SQL("SEQUENCE {}" if is_sequence else "TABLE {}").format(sql.Identifier(schema, name))
        from_all = sql.SQL("USAGE, UPDATE" if is_sequence else _WRITES)
        connection.execute(sql.SQL("REVOKE {} ON {} FROM PUBLIC CASCADE").format(from_all, what))
        for role in map(sql.Identifier, roles):
            connection.execute(sql.SQL("REVOKE ALL ON {} FROM {} CASCADE").format(what, role))
            if not is_ours and not is_sequence:
                connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(what, role))
    owned = "SELECT FROM pg_namespace WHERE nspname = 'pilotage' AND pg_has_role(nspowner, 'USAGE')"
    if connection.execute(owned).fetchone() is not None:
        for role in (sql.SQL("PUBLIC"), *map(sql.Identifier, roles)):
            connection.execute(sql.SQL("REVOKE ALL ON SCHEMA pilotage FROM {} CASCADE").format(role))


def writable_by(connection: psycopg.Connection, role: str) -> tuple[str, ...]:
    """The tools' tables, and the schema pilotage, that a role may write, in whatever way it came to that.

    Locks: none on user tables.
    """
    return tuple(str(row[0]) for row in connection.execute(_HELD.encode(), {"role": role}).fetchall())


def granted_writes(connection: psycopg.Connection) -> tuple[tuple[str, str], ...]:
    """Who but the owner was granted to write which of them.

    Locks: none on user tables.
    """
    return tuple((str(who), str(name)) for who, name in connection.execute(_GRANTED).fetchall())
