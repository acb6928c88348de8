"""Row-level security: enabled and forced, no policy that lets everything through, and no view that goes round it."""

from collections.abc import Sequence

import psycopg

from migrations.checks.security.finding import Observations

_TABLES = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
       (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid),
       array(SELECT p.polname::text FROM pg_policy p
             WHERE p.polrelid = c.oid AND p.polpermissive
               AND (pg_get_expr(p.polqual, c.oid) = 'true' OR pg_get_expr(p.polwithcheck, c.oid) = 'true')
               AND (0 = ANY (p.polroles) OR EXISTS (
                 SELECT FROM pg_roles r WHERE r.rolname = %(role)s
                   AND EXISTS (SELECT FROM unnest(p.polroles) t(member) WHERE pg_has_role(r.oid, t.member, 'MEMBER'))
               ))
             ORDER BY 1)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY (%(tables)s)
"""

_VIEWS = """
SELECT DISTINCT v.relname, c.relname
FROM pg_depend d
JOIN pg_rewrite w ON w.oid = d.objid
JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
JOIN pg_class c ON c.oid = d.refobjid
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
  AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%(tables)s)
  AND NOT (v.relkind = 'v' AND coalesce(
    (SELECT o.option_value::boolean FROM pg_options_to_table(v.reloptions) o
     WHERE o.option_name = 'security_invoker'), false))
ORDER BY 1, 2
"""

_FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
WHERE p.prosecdef AND (o.rolsuper OR o.rolbypassrls)
  AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND has_function_privilege((SELECT r.oid FROM pg_roles r WHERE r.rolname = %(role)s), p.oid, 'EXECUTE')
ORDER BY 1
"""


def check_row_security(
    connection: psycopg.Connection, tables: Sequence[str], application_role: str | None
) -> Observations:
    """Look at the tables whose rows belong to one user each.

    Args:
        connection: a session that reads.
        tables: the tables that must be protected.
        application_role: the role that the application connects as; None where it is not known.

    Locks: none on user tables.

    Source: a permissive policy of `true` shows every row to the roles that it is for. A view reads with its owner's
    rights, and its owner may bypass row-level security, unless it is a `security_invoker`; a materialized view has
    copied the rows. A SECURITY DEFINER function acts with its owner's rights too, and what it does cannot be told.
    """
    observations = Observations()
    asked = {"tables": list(tables), "role": application_role}
    rows = connection.execute(_TABLES, asked).fetchall()
    missing = sorted(set(tables) - {str(row[0]) for row in rows})
    if not tables:
        observations.unknown.append("the models have no such tables yet")
    if missing:
        observations.unknown.append(
            f"{len(missing)} of {len(tables)} tables are not there at this revision: {', '.join(missing)}"
        )
    for table, enabled, forced, policies, open_to_all in rows:
        if not (enabled and forced):
            observations.wrong.append(f"{table}: row-level security is not {'forced' if enabled else 'enabled'}")
        elif not policies:
            observations.wrong.append(f"{table} has no policy")
        observations.wrong += [f"{table}: policy {name} lets every row through" for name in open_to_all]
    for view, table in connection.execute(_VIEWS, asked).fetchall():
        observations.wrong.append(f"view {view} shows {table} with its owner's rights")
    for (function,) in connection.execute(_FUNCTIONS, asked).fetchall():
        observations.unknown.append(f"{function} acts past row-level security, and the application may call it")
    observations.good.append(f"enabled and forced on {len(rows)} tables")
    return observations
