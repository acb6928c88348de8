"""The tables that a transaction may have written to, and what it has done to them: as others see it, and it itself.

Source: pg_stat_get_xact_tuples_*() count what the session has done since it last told the statistics, and so at least
what its transaction has done.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import psycopg

from migrations.database.literals import literal
from migrations.database.table_keys import KEY_COLUMNS
from migrations.database.time_limits import execute_raw

# While everybody waits for it, no larger table is looked at.
LOOK_BYTES = 128 << 20
_WRITTEN_TABLES = f"""
WITH held AS (
    SELECT l.relation, bool_or(l.mode = 'RowExclusiveLock') AS writes, bool_or(l.mode = 'AccessExclusiveLock') AS alone
    FROM pg_locks l
    WHERE l.pid = %(pid)s AND l.locktype = 'relation' AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    GROUP BY 1
)
SELECT c.oid::bigint, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       coalesce((SELECT quote_ident(s.nspname) || '.' || quote_ident(r.relname)
                 FROM pg_class r JOIN pg_namespace s ON s.oid = r.relnamespace WHERE r.oid = pg_partition_root(c.oid)),
                quote_ident(n.nspname) || '.' || quote_ident(c.relname)),
       h.alone, coalesce(pg_relation_filenode(c.oid), 0)::bigint, {KEY_COLUMNS}
FROM held h JOIN pg_class c ON c.oid = h.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (h.writes OR h.alone) AND c.relkind = 'r' AND n.nspname !~ '^pg_'
  AND n.nspname NOT IN ('information_schema', 'pilotage') AND c.relname <> 'alembic_version'
ORDER BY 1
"""  # noqa: S608 - ours.
# Its last column lets the next transaction count from zero.
_OWN_WORK = f"""
SELECT string_agg(concat_ws(' ', o, coalesce(pg_relation_filenode(o), 0),
           pg_stat_get_xact_tuples_updated(o) + pg_stat_get_xact_tuples_deleted(o) + uncounted,
           pg_stat_get_xact_tuples_inserted(o) + uncounted,
           EXISTS (SELECT FROM pilotage.overwritten_rows w WHERE w.overwritten_by = pg_current_xact_id()
                   AND w.relation = o AND w.kind = 'looked')::int,
           (coalesce(pg_relation_size(o), 0) <= {LOOK_BYTES} AND coalesce(has_table_privilege(o, 'SELECT'), false)
            AND NOT coalesce((SELECT c.relforcerowsecurity FROM pg_class c WHERE c.oid = o), true))::int), ',')
FROM unnest(ARRAY[%s]::oid[]) o,
     (SELECT (current_setting('track_counts') <> 'on')::int AS uncounted, pg_stat_force_next_flush() IS NULL) s
"""  # noqa: S608 - ours.


@dataclass(frozen=True)
class WrittenTable:
    """A table that a transaction may have written to.

    Attributes:
        relation: its oid; of partitioned tables, that of a partition.
        name: its name, with its schema, as SQL.
        root: the same of the table whose partition it is, or of itself.
        alone: whether nobody else can look at it.
        file: its file node before the transaction.
        key: its key; empty where it has none.
    """

    relation: int
    name: str
    root: str
    alone: bool
    file: int
    key: Sequence[str]


@dataclass(frozen=True)
class OwnWork:
    """What a transaction sees of what it has done to a table.

    Attributes:
        file: the table's file node: one that was rewritten has a new one.
        changed: how many rows were updated or deleted.
        inserted: how many were inserted.
        has_looked: whether it has looked at it while it had it for itself.
        can_look: whether it may: it sees every row of it, and these are not too many.
    """

    file: int
    changed: int
    inserted: int
    has_looked: int
    can_look: int


def written_tables(session: psycopg.Connection, pid: int) -> list[WrittenTable]:
    """The tables that the transaction of a backend may have written to.

    Args:
        session: another one, in autocommit.
        pid: the process id of the backend.

    Locks: AccessShareLock on system catalogues.
    """
    found = session.execute(_WRITTEN_TABLES.encode(), {"pid": pid}, prepare=True).fetchall()
    return [WrittenTable(*row[:5], key=tuple(row[5] or ())) for row in found]


WorkOnTables = Sequence[tuple[WrittenTable, OwnWork]]


def own_work(writing: Any, tables: Sequence[WrittenTable]) -> WorkOnTables:
    """What a transaction sees of what it has done to tables."""
    if not tables:
        return ()
    answer = str(execute_raw(writing, _OWN_WORK % ", ".join(str(table.relation) for table in tables)))
    rows = ([int(part) for part in one.split(" ")] for one in answer.split(","))
    work = {relation: OwnWork(*work) for relation, *work in rows}
    return [(table, work[table.relation]) for table in tables]


def has_same_names(table: WrittenTable) -> str:
    """The query for whether a transaction calls a table and its key as others do."""
    names = ", ".join(literal(name) for name in table.key)
    return (
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"  # noqa: S608 - ours.
        f" WHERE c.oid = {table.relation} AND quote_ident(n.nspname) || '.' || quote_ident(c.relname) ="
        f" {literal(table.name)}) AND (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = {table.relation}"
        f" AND a.attname = ANY(ARRAY[{names}]::text[]) AND NOT a.attisdropped) = {len(table.key)}"
    )


def is_called(name: str, tables: Set[str]) -> bool:
    """Whether a table is among others, which are in public where they name no schema."""
    plain = name.replace('"', "")
    return any(one.replace('"', "") in {plain, plain.removeprefix("public.")} for one in tables)
