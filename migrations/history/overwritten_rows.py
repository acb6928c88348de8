"""Records the rows that users had written since the restore point, where a revision has overwritten or deleted them.

The xmin of a row names its last writer alone, and of a row that is gone nothing is left: the receipt of a restore would
not show what a user wrote before the revision did. So before a transaction of a revision is committed, another session
reads the rows that it has overwritten, as they were, and keeps their keys and who had written them.

Where the transaction has a table for itself (ALTER TABLE), nobody else can read it. So it looks itself, after it has
locked the table and before its first statement that writes rows.

A row is recorded where it may have been overwritten: one that somebody has locked stands in xmax, too. Whether it
really was, the receipt sees at the row itself.
"""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrations.database.literals import literal
from migrations.database.time_limits import execute_raw
from migrations.history._open_transaction import ANY_RELATION, EPOCH
from migrations.history._written_tables import (
    WorkOnTables,
    WrittenTable,
    has_same_names,
    is_called,
    own_work,
    written_tables,
)
from migrations.history.overwritten_values import (
    LOCK_TIMEOUT_MS,
    STATEMENT_TIMEOUT_MS,
    BatchRows,
    written_by_others,
)

TABLE = """
CREATE TABLE IF NOT EXISTS pilotage.overwritten_rows (
    relation oid NOT NULL,
    kind text NOT NULL,
    revision text NOT NULL,
    overwritten_by xid8 NOT NULL,
    written_by xid8,
    key jsonb,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS overwritten_rows_by_transaction ON pilotage.overwritten_rows (overwritten_by, relation);
ALTER TABLE pilotage.overwritten_rows REPLICA IDENTITY FULL;
"""
KEPT_DAYS = 60
# Of more rows of one table it is recorded that they were not looked at.
MAX_ROWS = 50_000
_INSERT = "INSERT INTO pilotage.overwritten_rows (relation, kind, revision, overwritten_by, written_by, key)"


@dataclass(frozen=True)
class OverwrittenRows:
    """Records which rows of users a transaction has overwritten, before it is committed.

    Attributes:
        session: another session, in autocommit; what it records counts only where the transaction is committed.
        oldest_xid: the oldest transaction of the release.
        since_xid: the oldest transaction that may have been committed after the restore point.
        next_xid: an id that was not assigned before now.
    """

    session: psycopg.Connection
    oldest_xid: int
    since_xid: int
    next_xid: int

    def record(self, work: WorkOnTables, xid: int, revision: str, batch: BatchRows | None) -> None:
        """Record what a transaction has overwritten.

        Args:
            work: the tables that it may have written to, and what it sees of what it has done to them.
            xid: its id.
            revision: the revision that runs in it.
            batch: the rows of its table that a backfill has gone over; None to read all of each table.

        Locks: AccessShareLock on the tables, for one scan of each that rows were updated or deleted in.
        """
        for table, own in work:
            if own.file != table.file or (table.alone and own.changed and not own.has_looked):
                record_unseen(self.session, revision, xid, relation=table.relation)
            elif own.changed and not table.alone:
                looked_at = BatchRows(table.name, "r", "true")
                if batch is not None and batch.relation == table.root:
                    looked_at = BatchRows(table.name, batch.alias, batch.condition)
                self._record_rows(table, looked_at, xid, revision)
            if own.inserted:
                self.session.execute(
                    f"{_INSERT} VALUES (%s, 'inserted', %s, %s::text::xid8, NULL, NULL)".encode(),
                    (table.relation, revision, xid),
                )

    def look(self, writing: Any, pid: int, xid: int, revision: str, tables: Set[str]) -> None:
        """Record the rows of users in tables that a transaction has for itself, while it has written to none of them.

        Args:
            writing: the driver's connection, in that transaction: it reads, since nobody else can.
            pid: the process id of its backend.
            xid: its id.
            revision: the revision that runs in it.
            tables: the tables, as SQL names them.

        Locks: none that it does not hold; a scan of each table.
        """
        if not execute_raw(writing, "SELECT current_user = session_user"):
            # Another role may not write our tables, and an error would end the transaction.
            return
        alone = [
            table
            for table in written_tables(self.session, pid)
            if table.alone and any(is_called(one, tables) for one in (table.name, table.root))
        ]
        for table, own in own_work(writing, alone):
            is_untouched = not own.has_looked and not own.changed and own.file == table.file
            if own.can_look and is_untouched and execute_raw(writing, has_same_names(table)):
                rows = self._statement(
                    table, BatchRows(table.name, "r", f"r.xmin <> '{xid % EPOCH}'::xid"), xid, revision
                )
                looked = f"{table.relation}, 'looked', {literal(revision)}, '{xid}'::xid8"
                statement = (
                    f"WITH found AS ({rows} RETURNING relation) {_INSERT} SELECT {looked}, NULL, NULL"  # noqa: S608
                    f" WHERE (SELECT count(*) FROM found) <= {MAX_ROWS}"
                )
                execute_raw(writing, statement)

    def _record_rows(self, table: WrittenTable, rows: BatchRows, xid: int, revision: str) -> None:
        """Record the rows of one table; where that cannot be told, that it was not looked at."""
        try:
            with self.session.transaction():
                self.session.execute(
                    "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),"
                    " set_config('row_security', 'off', true)",
                    (str(STATEMENT_TIMEOUT_MS), str(LOCK_TIMEOUT_MS)),
                )
                overwritten = BatchRows(
                    rows.relation, rows.alias, f"({rows.condition}) AND {rows.alias}.xmax <> '0'::xid"
                )
                statement = self._statement(table, overwritten, xid, revision)
                recorded = self.session.execute(statement.encode()).rowcount
                if recorded > MAX_ROWS:
                    raise psycopg.errors.ProgramLimitExceeded("too many rows")
        except psycopg.Error:
            if self.session.broken:
                raise
            record_unseen(self.session, revision, xid, relation=table.relation)

    def _statement(self, table: WrittenTable, rows: BatchRows, xid: int, revision: str) -> str:
        alias = rows.alias
        age = f"(({self.next_xid % EPOCH} - {alias}.xmin::text::bigint + {EPOCH}) % {EPOCH})"
        parts = ", ".join(f"{literal(name)}, {alias}.{sql.Identifier(name).as_string()}::text" for name in table.key)
        others = written_by_others(self.session, alias, self.oldest_xid)
        return (
            f"{_INSERT} SELECT {table.relation}, 'row', {literal(revision)}, '{xid}'::xid8,"  # noqa: S608 - ours.
            f" ({self.next_xid} - {age})::text::xid8, jsonb_build_object({parts}) FROM ONLY {rows.relation} {alias}"
            f" WHERE ({rows.condition}) AND {age} <= {self.next_xid - self.since_xid}"
            f" AND {others} LIMIT {MAX_ROWS + 1}"
        )


def forget_old(session: psycopg.Connection) -> None:
    """Delete what is older than any point that can be restored: it names rows, some of which are gone.

    Args:
        session: in autocommit.

    Source: Neon keeps at most 30 days of a branch's history.
    """
    with suppress(psycopg.errors.InsufficientPrivilege):
        session.execute(
            "DELETE FROM pilotage.overwritten_rows WHERE noted_at < now() - make_interval(days => %s)", (KEPT_DAYS,)
        )


def record_unseen(session: psycopg.Connection, revision: str, xid: int, *, relation: int = ANY_RELATION) -> None:
    """Record that it cannot be told what a revision has overwritten.

    Args:
        session: in autocommit, not the one that migrates.
        revision: the revision.
        xid: its transaction, or a later one that was committed.
        relation: the table; all of them where it is not known which.
    """
    values = f"{_INSERT} VALUES (%s, 'unseen', %s, %s::text::xid8, NULL, NULL)"
    session.execute(values.encode(), (relation, revision, xid))
