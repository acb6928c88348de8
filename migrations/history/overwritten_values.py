"""Records the added columns in which a revision may have overwritten values that others had written.

The xmin of a row names only the transaction that wrote it last: where a later revision, or a backfill, sets another
column of a row, a value that a user wrote before looks like the revision's own. Before such a transaction is committed,
another session still sees each of these rows as it was, and nobody else can write it: so they are read then.

Source: a row that is updated or deleted keeps the transaction, or who else locked it, in xmax; a transaction that wrote
to a table holds RowExclusiveLock on it, beside any stronger one, until it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from migrations.database.literals import literal
from migrations.database.time_limits import execute_raw

TABLE = """
CREATE TABLE IF NOT EXISTS pilotage.overwritten_additions (
    relation oid NOT NULL,
    attribute smallint NOT NULL,
    revision text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation, attribute)
);
"""
# While rows are read, they stay locked.
STATEMENT_TIMEOUT_MS = 2000
LOCK_TIMEOUT_MS = 100

_EPOCH = 1 << 32
_WRITTEN_TABLES = f"""
WITH held AS (
    SELECT l.relation, bool_or(l.mode = 'RowExclusiveLock') AS writes, bool_or(l.mode = 'AccessExclusiveLock') AS alone
    FROM pg_locks l
    WHERE l.pid = %(pid)s AND l.locktype = 'relation' AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    GROUP BY 1
), roots AS (
    SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, bool_or(h.writes) AS writes, bool_or(h.alone) AS alone,
           array_agg(c.oid ORDER BY c.oid) AS parts,
           array_agg(coalesce(pg_relation_filenode(c.oid), 0)::bigint ORDER BY c.oid) AS files
    FROM held h JOIN pg_class c ON c.oid = h.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE (h.writes OR h.alone) AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
      AND n.nspname NOT IN ('information_schema', 'pilotage')
    GROUP BY 1
), columns AS (
    SELECT a.attrelid, a.attnum, (a.xmin::text::bigint - %(since)s %% {_EPOCH} + {_EPOCH}) %% {_EPOCH}
           < %(beyond)s - %(since)s AS is_new
    FROM roots r JOIN pg_attribute a ON a.attrelid = r.root AND a.attnum > 0 AND NOT a.attisdropped
)
SELECT r.root::bigint, quote_ident(n.nspname) || '.' || quote_ident(c.relname), r.writes, r.alone, r.parts::bigint[],
       r.files, array_agg(k.attnum) FILTER (WHERE k.is_new), bool_and(k.is_new)
FROM roots r JOIN columns k ON k.attrelid = r.root JOIN pg_class c ON c.oid = r.root
JOIN pg_namespace n ON n.oid = c.relnamespace
GROUP BY 1, 2, 3, 4, 5, 6 HAVING bool_or(k.is_new)
"""  # noqa: S608 - numbers.
# A default with nextval() is not evaluated: each evaluation would advance the sequence.
_HOLDS_VALUE = """
SELECT a.attnum, CASE WHEN d.adbin IS NULL OR pg_get_expr(d.adbin, d.adrelid) ~ 'nextval' THEN
           format('%%I IS NOT NULL', a.attname)
       ELSE format('%%I::text IS DISTINCT FROM CAST((%%s) AS %%s)::text', a.attname, pg_get_expr(d.adbin, d.adrelid),
                   format_type(a.atttypid, a.atttypmod)) END
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
WHERE a.attrelid = %s AND a.attnum = ANY(%s)
"""
_OLDEST_TRANSACTION = """
WITH before AS (SELECT revision FROM pilotage.applied_revisions WHERE release_id <> %(release)s)
SELECT least((SELECT min(xid::text::bigint) FROM pilotage.applied_revisions WHERE release_id = %(release)s),
             (SELECT min(first::text::bigint) FROM pilotage.revision_transactions
              WHERE revision NOT IN (SELECT revision FROM before)))
"""


@dataclass(frozen=True)
class BatchRows:
    """The rows of a table that a batch may have changed.

    Attributes:
        relation: the table, with its schema, as SQL.
        alias: the table's alias in the condition, as SQL.
        condition: SQL condition of the rows.
    """

    relation: str
    alias: str
    condition: str


def recorded_overwrites(connection: psycopg.Connection) -> frozenset[tuple[int, int]] | None:
    """The tables (of partitions, their root) and columns that were recorded; column 0 stands for whole rows.

    Returns:
        None where nothing was recorded, since an older version applied the revisions.
    """
    row = connection.execute("SELECT to_regclass('pilotage.overwritten_additions') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return None
    found = connection.execute("SELECT relation::bigint, attribute FROM pilotage.overwritten_additions")
    return frozenset((int(relation), int(attribute)) for relation, attribute in found)


def oldest_transaction_of(connection: psycopg.Connection, release_id: str) -> int | None:
    """The oldest recorded transaction of a release; columns that the release adds are no older."""
    row = connection.execute(_OLDEST_TRANSACTION.encode(), {"release": release_id}).fetchone()
    return None if row is None or row[0] is None else int(row[0])


@dataclass(frozen=True)
class OverwriteDetector:
    """Finds what a transaction has overwritten, before it is committed.

    Attributes:
        session: another session, in autocommit.
        oldest_xid: the oldest transaction of the release.
        next_xid: an id that was not assigned before now.
    """

    session: psycopg.Connection
    oldest_xid: int
    next_xid: int

    def recording_statement(self, writing: Any, pid: int, revision: str, batch: BatchRows | None) -> str:
        """The INSERT that records it, to be run in the transaction itself; empty where nothing was overwritten.

        Args:
            writing: the driver's connection, in that transaction.
            pid: the process id of its backend.
            revision: the revision that runs in it.
            batch: the rows of its table that a backfill has gone over; None to read all of each table.
        """
        given = {"pid": pid, "since": self.oldest_xid, "beyond": self.next_xid}
        overwritten: list[tuple[int, int]] = []
        for root, name, writes, alone, parts, files, new, whole in self.session.execute(
            _WRITTEN_TABLES.encode(), given
        ).fetchall():
            attributes = [*([0] if whole else []), *(int(one) for one in new)]
            if alone:
                # Nobody else can look at it, but nobody else has written to what the transaction added.
                if writes or _file_nodes(writing, parts) != list(files):
                    overwritten += [(root, one) for one in attributes]
            elif writes:
                looked_at = batch if batch is not None and batch.relation == name else BatchRows(name, "r", "true")
                overwritten += [(root, one) for one in self._overwritten(root, looked_at, attributes)]
        if not overwritten:
            return ""
        rows = ", ".join(f"({root}, {attribute}, {literal(revision)})" for root, attribute in overwritten)
        return (
            "INSERT INTO pilotage.overwritten_additions (relation, attribute, revision)"  # noqa: S608 - all are ours.
            f" VALUES {rows} ON CONFLICT DO NOTHING"
        )

    def _overwritten(self, root: int, rows: BatchRows, attributes: list[int]) -> list[int]:
        """The columns that held a value of others in a row that was overwritten; all of them where that is unknown."""
        try:
            with self.session.transaction():
                self.session.execute(
                    "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),"
                    " set_config('row_security', 'off', true), set_config('transaction_read_only', 'on', true)",
                    (str(STATEMENT_TIMEOUT_MS), str(LOCK_TIMEOUT_MS)),
                )
                conditions = dict(self.session.execute(_HOLDS_VALUE, (root, attributes)).fetchall()) | {0: "true"}
                by_others = self._written_by_others(rows.alias)
                return [one for one in attributes if self._exists(rows, f"{conditions[one]} AND {by_others}")]
        except psycopg.Error:
            if self.session.broken:
                raise
            return attributes

    def _exists(self, rows: BatchRows, condition: str) -> bool:
        # Whoever has updated, deleted or locked a row stands in xmax.
        query = (
            f"SELECT EXISTS (SELECT FROM {rows.relation} {rows.alias}"  # noqa: S608
            f" WHERE ({rows.condition}) AND {rows.alias}.xmax <> '0'::xid AND {condition})"
        )
        row = self.session.execute(query.encode()).fetchone()
        return row is None or bool(row[0])

    def _written_by_others(self, alias: str) -> str:
        """The condition that a row was not certainly written by a revision."""
        xmin = f"{alias}.xmin::text::bigint"
        single = "SELECT xid::text::bigint FROM pilotage.applied_revisions"
        row = self.session.execute("SELECT to_regclass('pilotage.backfill_batches') IS NOT NULL").fetchone()
        if row and row[0]:
            single += " UNION ALL SELECT xid::text::bigint FROM pilotage.backfill_batches"
        return (
            f"{xmin} NOT IN (SELECT o.xid % {_EPOCH} FROM ({single}) o (xid) WHERE o.xid >= {self.oldest_xid})"  # noqa: S608
            " AND NOT EXISTS (SELECT FROM pilotage.revision_transactions o WHERE o.certain"
            f" AND ({xmin} - o.first::text::bigint % {_EPOCH} + {_EPOCH}) % {_EPOCH}"
            " < o.beyond::text::bigint - o.first::text::bigint)"
        )


def _file_nodes(session: Any, parts: list[int]) -> list[int]:
    """The file nodes of relations, as the transaction sees them: a relation that it has rewritten has a new one."""
    oids = ", ".join(str(one) for one in parts)
    relations = f"unnest(ARRAY[{oids}]::oid[]) o"
    answer = execute_raw(
        session,
        f"SELECT string_agg(coalesce(pg_relation_filenode(o), 0)::text, ' ' ORDER BY o) FROM {relations}",  # noqa: S608
    )
    return [int(one) for one in str(answer).split()]
