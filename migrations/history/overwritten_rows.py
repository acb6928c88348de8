"""Records the rows that users had written since the restore point, where a revision has overwritten or deleted them.

The xmin of a row names its last writer alone, and of a row that is gone nothing is left: the receipt of a restore would
not show what a user wrote before the revision did. So before a transaction of a revision is committed, another session
reads the rows that it has overwritten, as they were, and keeps their keys and who had written them.

Where the transaction has a table for itself (ALTER TABLE), nobody else can read it. So it looks itself, after it has
locked the table and before its first statement that writes rows.

A row is recorded where it may have been overwritten: one that somebody has locked stands in xmax, too. Whether it
really was, the receipt sees at the row itself.

Source: pg_stat_get_xact_tuples_*() count what the session has done since it last told the statistics, and so at least
what its transaction has done.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrations.database.literals import literal
from migrations.database.table_keys import KEY_COLUMNS
from migrations.database.time_limits import execute_raw
from migrations.history._open_transaction import EPOCH
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
"""
# While everybody waits for it, no larger table is looked at.
LOOK_BYTES = 128 << 20
KEPT_DAYS = 60
# Of more rows of one table it is recorded that they were not looked at.
MAX_ROWS = 50_000
# Stands for every table, where it is not known which a statement has written to.
ANY_RELATION = 0

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
_INSERT = "INSERT INTO pilotage.overwritten_rows (relation, kind, revision, overwritten_by, written_by, key)"


@dataclass(frozen=True)
class _WrittenTable:
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
class _OwnWork:
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

    def record(self, writing: Any, pid: int, xid: int, revision: str, batch: BatchRows | None) -> None:
        """Record what a transaction has overwritten.

        Args:
            writing: the driver's connection, in that transaction.
            pid: the process id of its backend.
            xid: its id.
            revision: the revision that runs in it.
            batch: the rows of its table that a backfill has gone over; None to read all of each table.

        Locks: AccessShareLock on the tables, for one scan of each that rows were updated or deleted in.
        """
        tables = self._written_tables(pid)
        work = _own_work(writing, tables)
        for table in tables:
            own = work[table.relation]
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
            for table in self._written_tables(pid)
            if table.alone and any(_is_called(one, tables) for one in (table.name, table.root))
        ]
        work = _own_work(writing, alone)
        for table in alone:
            own = work[table.relation]
            is_untouched = not own.has_looked and not own.changed and own.file == table.file
            if own.can_look and is_untouched and execute_raw(writing, _has_same_names(table)):
                rows = self._statement(
                    table, BatchRows(table.name, "r", f"r.xmin <> '{xid % EPOCH}'::xid"), xid, revision
                )
                looked = f"{table.relation}, 'looked', {literal(revision)}, '{xid}'::xid8"
                statement = (
                    f"WITH found AS ({rows} RETURNING relation) {_INSERT} SELECT {looked}, NULL, NULL"  # noqa: S608
                    f" WHERE (SELECT count(*) FROM found) <= {MAX_ROWS}"
                )
                execute_raw(writing, statement)

    def _written_tables(self, pid: int) -> list[_WrittenTable]:
        found = self.session.execute(_WRITTEN_TABLES.encode(), {"pid": pid}).fetchall()
        return [_WrittenTable(*row[:5], key=tuple(row[5] or ())) for row in found]

    def _record_rows(self, table: _WrittenTable, rows: BatchRows, xid: int, revision: str) -> None:
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

    def _statement(self, table: _WrittenTable, rows: BatchRows, xid: int, revision: str) -> str:
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


def record_since(session: psycopg.Connection, revision: str, xid: int, since_xid: int) -> None:
    """Record from when on the rows of users are recorded that a revision overwrites.

    Args:
        session: in autocommit, not the one that migrates.
        revision: the revision.
        xid: its transaction.
        since_xid: the oldest transaction whose rows are looked for.
    """
    values = f"{_INSERT} VALUES ({ANY_RELATION}, 'since', %s, %s::text::xid8, %s::text::xid8, NULL)"
    session.execute(values.encode(), (revision, xid, since_xid))


def _own_work(writing: Any, tables: Sequence[_WrittenTable]) -> dict[int, _OwnWork]:
    """What a transaction sees of what it has done to tables, by oid."""
    if not tables:
        return {}
    answer = str(execute_raw(writing, _OWN_WORK % ", ".join(str(table.relation) for table in tables)))
    rows = ([int(part) for part in one.split(" ")] for one in answer.split(","))
    return {relation: _OwnWork(*work) for relation, *work in rows}


def _has_same_names(table: _WrittenTable) -> str:
    """The query for whether a transaction calls a table and its key as others do."""
    names = ", ".join(literal(name) for name in table.key)
    return (
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"  # noqa: S608 - ours.
        f" WHERE c.oid = {table.relation} AND quote_ident(n.nspname) || '.' || quote_ident(c.relname) ="
        f" {literal(table.name)}) AND (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = {table.relation}"
        f" AND a.attname = ANY(ARRAY[{names}]::text[]) AND NOT a.attisdropped) = {len(table.key)}"
    )


def _is_called(name: str, tables: Set[str]) -> bool:
    """Whether a table is among others, which are in public where they name no schema."""
    plain = name.replace('"', "")
    return any(one.replace('"', "") in {plain, plain.removeprefix("public.")} for one in tables)
