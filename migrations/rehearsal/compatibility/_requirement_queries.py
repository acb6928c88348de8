"""What is asked of the catalogues about what a schema requires: columns, rules, privileges, row-level security."""

COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '' OR t.typdefault IS NOT NULL, a.attgenerated <> ''
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND a.attnum > 0 AND NOT a.attisdropped
"""
# Source: a NOT NULL is a constraint of its own in pg_constraint since PostgreSQL 18 alone; the columns tell of it.
CONSTRAINTS = """
SELECT n.nspname, c.relname, pg_get_constraintdef(k.oid), k.contype::text, '',
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(k.conkey))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('c', 'f', 'x') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
UNION ALL
SELECT n.nspname, c.relname,
       regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE UNIQUE INDEX [^ ]+ ', 'UNIQUE INDEX '),
       CASE WHEN i.indpred IS NULL AND i.indexprs IS NULL THEN 'u' ELSE 'u?' END, i.indnullsnotdistinct::text,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(i.indkey))
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
UNION ALL
SELECT n.nspname, c.relname, 'trigger ' || quote_ident(g.tgname), 't', '', ARRAY[]::text[]
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT g.tgisinternal AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
"""
PRIVILEGES = """
SELECT n.nspname, c.relname, a.attname::text, p.privilege
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS p(privilege)
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND has_schema_privilege(%(role)s::name, n.oid, 'USAGE')
  AND has_column_privilege(%(role)s::name, c.oid, a.attnum, p.privilege)
UNION ALL
SELECT n.nspname, c.relname, '', 'DELETE' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'f')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND has_schema_privilege(%(role)s::name, n.oid, 'USAGE')
  AND has_table_privilege(%(role)s::name, c.oid, 'DELETE')
UNION ALL
SELECT n.nspname, t.relname, a.attname::text, 'SEQUENCE' FROM pg_class c
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a'
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND (has_sequence_privilege(%(role)s::name, c.oid, 'USAGE')
       OR has_sequence_privilege(%(role)s::name, c.oid, 'UPDATE'))
"""
# Source: row-level security does not hold for superusers, BYPASSRLS, and owners of a table where it is not forced.
ROW_SECURITY = """
SELECT n.nspname, c.relname,
       (SELECT array_agg(DISTINCT p.polcmd::text) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive
        AND EXISTS (SELECT FROM unnest(p.polroles) AS o(role) WHERE o.role = 0 OR pg_has_role(r.oid, o.role, 'USAGE'))),
       (SELECT array_agg(p.polname || coalesce(pg_get_expr(p.polqual, p.polrelid), '')
               || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') ORDER BY 1)::text
        FROM pg_policy p WHERE p.polrelid = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN pg_roles r
WHERE r.rolname = %(role)s AND c.relrowsecurity
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND NOT r.rolsuper AND NOT r.rolbypassrls
  AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))
"""
THERE = "SELECT FROM pg_roles WHERE rolname = %(role)s"
