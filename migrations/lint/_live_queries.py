"""What is asked of a live database: nothing of it reads a row of the user's."""

# ruff: noqa: S608 - every query is put together from the literals of this file.

_USERS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')"

TABLES = f"""
SELECT n.nspname, c.relname, c.relkind::text, c.relrowsecurity,
       CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(sum(greatest(l.reltuples, 0)), 0)
                  FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid WHERE t.isleaf)
            WHEN c.relkind = 'v' OR c.reltuples < 0 THEN NULL ELSE c.reltuples END::bigint,
       CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(sum(pg_total_relation_size(t.relid)), 0) FROM pg_partition_tree(c.oid) t)
            WHEN c.relkind = 'v' THEN NULL ELSE pg_total_relation_size(c.oid) END::bigint,
       (s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::bigint,
       coalesce((SELECT array_agg(p.polname::text) FROM pg_policy p WHERE p.polrelid = c.oid), '{{}}')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_USERS}
"""

# Source: PostgreSQL 18 sets attnotnull for a NOT NULL constraint that is NOT VALID, too.
COLUMNS = f"""
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n'
                                    AND NOT k.convalidated AND a.attnum = ANY (k.conkey)),
       a.atthasdef OR a.attidentity <> '', a.attgenerated <> ''
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_USERS}
ORDER BY c.oid, a.attnum
"""

CONSTRAINTS = f"""
SELECT n.nspname, c.relname, k.conname, k.contype::text, k.convalidated, pg_get_constraintdef(k.oid),
       coalesce((SELECT array_agg(a.attname::text ORDER BY o.place)
                 FROM unnest(k.conkey) WITH ORDINALITY AS o(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.number), '{{}}'),
       rn.nspname, r.relname
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class r ON r.oid = k.confrelid LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE k.contype IN ('c', 'f', 'u', 'p', 'x', 'n') AND {_USERS}
"""

INDEXES = f"""
SELECT n.nspname, c.relname, i.relname, x.indisunique, x.indisvalid, x.indpred IS NOT NULL,
       coalesce((SELECT array_agg(a.attname::text ORDER BY o.place)
                 FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS o(number, place)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.number
                 WHERE o.place <= x.indnkeyatts), '{{}}')
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_USERS}
"""

ENUMS = f"""
SELECT n.nspname, t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE {_USERS} GROUP BY 1, 2
"""

DOMAINS = f"""
SELECT n.nspname, t.typname, t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND {_USERS}
"""

FUNCTIONS = f"""
SELECT n.nspname, p.proname, l.lanname, p.prosrc,
       ARRAY(SELECT u.name FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS u (name, mode, place)
             WHERE u.mode IS NULL OR u.mode IN ('i', 'b', 'v') ORDER BY u.place)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname IN ('plpgsql', 'sql') AND p.prosrc <> '' AND {_USERS}
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""

NON_VOLATILE_FUNCTIONS = """
SELECT proname FROM pg_proc WHERE prokind = 'f' GROUP BY proname HAVING bool_and(provolatile <> 'v')
"""

# A sequence counts for the column that owns it, which the end of the column's type may stop before its own.
SEQUENCES = f"""
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL), coalesce(q.last_value, 0),
       least(q.max_value, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
                          ELSE 9223372036854775807 END)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_sequences q ON q.schemaname = sn.nspname AND q.sequencename = s.relname
JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND {_USERS}
"""

HAS_STATEMENTS = """
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')
   AND current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'
"""

# What the migrating role and superusers send is not the application's.
STATEMENTS = """
SELECT query, sum(calls)::bigint FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND r.rolname <> current_user AND NOT r.rolsuper
  AND query ~* '^\\s*(select|insert|update|delete|with|merge|copy)\\M'
  AND query !~* 'alembic_version|pg_catalog|pg_stat_|pg_class'
GROUP BY query ORDER BY 2 DESC LIMIT 5000
"""
