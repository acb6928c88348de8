"""Foreign keys: each promised one exists, is validated unless it is promised NOT VALID, and holds."""

import psycopg
from psycopg import sql

from migrations.catalog.contents import Catalog
from migrations.checks.result import CheckResult

NAME = "foreign keys"

_EVERY = """
SELECT k.conname, k.convalidated, c.relname, n.nspname, r.relname, m.nspname,
       (SELECT array_agg(a.attname ORDER BY p.place) FROM unnest(k.conkey) WITH ORDINALITY p(num, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.num),
       (SELECT array_agg(a.attname ORDER BY p.place) FROM unnest(k.confkey) WITH ORDINALITY p(num, place)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.num),
       CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END
       || quote_ident(c.relname) || '.' || quote_ident(k.conname)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace m ON m.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname !~ '^pg_' AND n.nspname <> 'pilotage'
ORDER BY 3, 1
"""


def check_foreign_keys(connection: psycopg.Connection, promised: Catalog) -> CheckResult:
    """Look for foreign keys that are missing, not validated, or that rows violate all the same.

    One that is promised NOT VALID is a step on its way: rows from before it may violate it until it is validated.

    Locks: AccessShareLock on each table, for one scan of it.
    """
    wrong = list(_missing(connection, promised))
    pending = {one.name for one in promised.of_kind("constraint") if one.definition.endswith(" NOT VALID")}
    every = connection.execute(_EVERY).fetchall()
    for name, validated, table, schema, to_table, to_schema, columns, to_columns, full_name in every:
        if not validated and full_name in pending:
            continue
        if not validated:
            wrong.append(f"{table}.{name} is not validated")
        orphans = _orphans(connection, (schema, table), columns, (to_schema, to_table), to_columns)
        if orphans:
            wrong.append(f"{orphans} rows of {table} violate {name}")
    unchecked = sum(not row[1] and row[8] in pending for row in every)
    note = f", {unchecked} NOT VALID as promised" if unchecked else ""
    return CheckResult.of(NAME, wrong, f"{len(every)} foreign keys{note}")


def _missing(connection: psycopg.Connection, promised: Catalog) -> list[str]:
    live = {str(row[0]) for row in connection.execute("SELECT quote_ident(conname) FROM pg_constraint")}
    return [
        f"{one.name} is missing"
        for one in promised.of_kind("constraint")
        if one.definition.startswith("FOREIGN KEY") and one.name.rsplit(".", 1)[-1] not in live
    ]


def _orphans(
    connection: psycopg.Connection,
    child: tuple[str, str],
    columns: list[str],
    parent: tuple[str, str],
    to_columns: list[str],
) -> int:
    pairs = sql.SQL(" AND ").join(
        sql.SQL("p.{} = c.{}").format(sql.Identifier(theirs), sql.Identifier(ours))
        for ours, theirs in zip(columns, to_columns, strict=True)
    )
    given = sql.SQL(" AND ").join(sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(ours)) for ours in columns)
    query = sql.SQL("SELECT count(*) FROM {} c WHERE {} AND NOT EXISTS (SELECT FROM {} p WHERE {})").format(
        sql.Identifier(*child), given, sql.Identifier(*parent), pairs
    )
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
