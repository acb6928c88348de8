"""How privileges are read from the system catalogue: who owns what, and who was granted what.

Source: pg_catalog of PostgreSQL 15 to 18.
"""

from typing import Final

NAMESPACE: Final = """
    n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
"""
SCHEMA: Final = "CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END"
OURS: Final = """
    c.relname <> 'alembic_version'
    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e
                    WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
"""
RELATIONS: Final = "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
NOT_OF_AN_EXTENSION: Final = """
    NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.objid = o.oid AND e.deptype = 'e')
"""

_PRIVILEGE_LIST: Final = """
string_agg(g.privilege_type || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END, ', '
           ORDER BY g.privilege_type)
"""
_GRANTEE: Final = "CASE WHEN g.grantee = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(g.grantee)) END"

_GRANTS: Final = f"""
SELECT {SCHEMA} || quote_ident(c.relname) || ' to ' || {_GRANTEE}, {_PRIVILEGE_LIST}
FROM {RELATIONS}
CROSS JOIN LATERAL aclexplode(
    coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))) g
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {NAMESPACE} AND {OURS}
GROUP BY n.nspname, c.relname, g.grantee
UNION ALL
SELECT {SCHEMA} || quote_ident(c.relname) || '.' || quote_ident(a.attname) || ' to ' || {_GRANTEE}, {_PRIVILEGE_LIST}
FROM {RELATIONS}
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
CROSS JOIN LATERAL aclexplode(a.attacl) g
WHERE {NAMESPACE} AND {OURS}
GROUP BY n.nspname, c.relname, a.attname, g.grantee
UNION ALL
SELECT format('function %s%I(%s) to %s', {SCHEMA}, o.proname, pg_get_function_identity_arguments(o.oid), {_GRANTEE}),
       {_PRIVILEGE_LIST}
FROM pg_catalog.pg_proc o JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace
CROSS JOIN LATERAL aclexplode(coalesce(o.proacl, acldefault('f', o.proowner))) g
WHERE o.prokind IN ('f', 'p', 'w') AND {NAMESPACE} AND {NOT_OF_AN_EXTENSION}
GROUP BY n.nspname, o.proname, o.oid, g.grantee
"""

# Who may merely use a schema is the environment's; whoever may make something there may hide what is there.
_ON_SCHEMAS: Final = f"""
SELECT 'schema ' || quote_ident(n.nspname) || ' to ' || {_GRANTEE}, {_PRIVILEGE_LIST}
FROM pg_catalog.pg_namespace n
CROSS JOIN LATERAL aclexplode(n.nspacl) g
WHERE {NAMESPACE} AND g.privilege_type = 'CREATE' AND g.grantee NOT IN (n.nspowner, 'pg_database_owner'::regrole)
GROUP BY n.nspname, g.grantee
"""

# Whoever made most of it is the owner; what belongs to another one is told.
_OWNERS: Final = f"""
WITH owned AS (
    SELECT {SCHEMA} || quote_ident(c.relname) AS name, c.relowner AS owner
    FROM {RELATIONS} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {NAMESPACE} AND {OURS}
    UNION ALL
    SELECT format('function %s%I(%s)', {SCHEMA}, o.proname, pg_get_function_identity_arguments(o.oid)), o.proowner
    FROM pg_catalog.pg_proc o JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace
    WHERE {NAMESPACE} AND {NOT_OF_AN_EXTENSION}
    UNION ALL
    SELECT format('type %s%I', {SCHEMA}, o.typname), o.typowner
    FROM pg_catalog.pg_type o JOIN pg_catalog.pg_namespace n ON n.oid = o.typnamespace
    WHERE o.typtype IN ('e', 'd') AND {NAMESPACE} AND {NOT_OF_AN_EXTENSION}
)
SELECT 'owner of ' || name, quote_ident(pg_get_userbyid(owner)) FROM owned
WHERE owner <> (SELECT mode() WITHIN GROUP (ORDER BY owner) FROM owned)
"""

PRIVILEGES: Final = f"{_GRANTS} UNION ALL {_ON_SCHEMAS} UNION ALL SELECT * FROM ({_OWNERS}) owners"
