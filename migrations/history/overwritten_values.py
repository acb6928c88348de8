"""Records the added columns in which a revision may have overwritten values that others had written.

The xmin of a row names only the transaction that wrote it last: where a later revision, or a backfill, sets another
column of a row, a value that a user wrote before looks like the revision's own. Before such a transaction is committed,
another session still sees each of these rows as it was, and nobody else can write it: so they are read then.

Source: a row that is updated or deleted keeps the transaction, or who else locked it, in xmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from migrations.database.literals import literal
from migrations.history._open_transaction import EPOCH, WrittenTable

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
    """

    session: psycopg.Connection
    oldest_xid: int

    def recording_statement(
        self, written: Iterable[WrittenTable], files: Mapping[int, int], revision: str, batch: BatchRows | None
    ) -> str:
        """The INSERT that records it, to be run in the transaction itself; empty where nothing was overwritten.

        Args:
            written: the tables that it has written to.
            files: the file node of each table as the transaction sees it: one that it has rewritten has a new one.
            revision: the revision that runs in it.
            batch: the rows of its table that a backfill has gone over; None to read all of each table.
        """
        overwritten: list[tuple[int, int]] = []
        for table in written:
            attributes = [*([0] if table.is_new else []), *table.new_columns]
            if table.is_locked_alone:
                # Nobody else can look at it, but nobody else has written to what the transaction added.
                if table.has_row_writes or any(
                    files.get(part, 0) != file for part, file in zip(table.partitions, table.file_nodes, strict=True)
                ):
                    overwritten += [(table.root, one) for one in attributes]
            elif table.has_row_writes:
                whole = BatchRows(table.name, "r", "true")
                looked_at = batch if batch is not None and batch.relation == table.name else whole
                overwritten += [(table.root, one) for one in self._overwritten(table.root, looked_at, attributes)]
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
                by_others = written_by_others(self.session, rows.alias, self.oldest_xid)
                # In one scan for all of them. Whoever has updated, deleted or locked a row stands in xmax.
                query = (
                    f"SELECT {', '.join(f'bool_or({conditions[one]})' for one in attributes)}"  # noqa: S608
                    f" FROM {rows.relation} {rows.alias}"
                    f" WHERE ({rows.condition}) AND {rows.alias}.xmax <> '0'::xid AND {by_others}"
                )
                found = self.session.execute(query.encode()).fetchall()[0]
                return [one for one, holds in zip(attributes, found, strict=True) if holds]
        except psycopg.Error:
            if self.session.broken:
                raise
            return attributes


def written_by_others(session: psycopg.Connection, alias: str, oldest_xid: int) -> str:
    """The condition that a row was not certainly written by a revision.

    Args:
        session: reads what is recorded.
        alias: the table's alias, as SQL.
        oldest_xid: the oldest transaction of the release.
    """
    xmin = f"{alias}.xmin::text::bigint"
    single = "SELECT xid::text::bigint FROM pilotage.applied_revisions"
    row = session.execute("SELECT to_regclass('pilotage.backfill_batches') IS NOT NULL").fetchone()
    if row and row[0]:
        single += " UNION ALL SELECT xid::text::bigint FROM pilotage.backfill_batches"
    return (
        f"{xmin} NOT IN (SELECT o.xid % {EPOCH} FROM ({single}) o (xid) WHERE o.xid >= {oldest_xid})"  # noqa: S608
        " AND NOT EXISTS (SELECT FROM pilotage.revision_transactions o WHERE o.certain"
        f" AND ({xmin} - o.first::text::bigint % {EPOCH} + {EPOCH}) % {EPOCH}"
        " < o.beyond::text::bigint - o.first::text::bigint)"
    )
