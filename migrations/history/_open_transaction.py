"""What another session sees of a transaction that is about to be committed: its id, and the tables it has written to.

Source: a transaction holds ExclusiveLock on its own id until it ends, a savepoint on its own as long as it is open; a
transaction that wrote to a table holds RowExclusiveLock on it, beside any stronger one, until it ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

# The ids in xmin, xmax and pg_locks start anew after so many.
EPOCH = 1 << 32
# Stands for every table, where it is not known which a statement has written to.
ANY_RELATION = 0

_HELD = f"""
WITH held AS MATERIALIZED (
    SELECT l.locktype, l.relation, l.transactionid::text::bigint AS xid, l.mode FROM pg_locks l
    WHERE l.pid = %(pid)s AND l.granted AND (l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' OR
          l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
), beyond AS MATERIALIZED (
    -- A fresh id, which is not the transaction's: all ids below it were assigned before.
    SELECT pg_current_xact_id()::text::bigint AS xid WHERE EXISTS (SELECT FROM held h WHERE h.xid IS NOT NULL)
), own AS MATERIALIZED (
    SELECT b.xid - max((b.xid - h.xid %% {EPOCH} + {EPOCH}) %% {EPOCH}) AS xid, b.xid AS beyond
    FROM beyond b JOIN held h ON h.xid IS NOT NULL GROUP BY b.xid
), roots AS (
    SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, bool_or(h.mode = 'RowExclusiveLock') AS writes,
           bool_or(h.mode = 'AccessExclusiveLock') AS alone,
           array_agg(DISTINCT c.oid ORDER BY c.oid) AS parts
    FROM held h JOIN pg_class c ON c.oid = h.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE h.mode IN ('RowExclusiveLock', 'AccessExclusiveLock') AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
      AND n.nspname NOT IN ('information_schema', 'pilotage') AND c.relname <> 'alembic_version'
    GROUP BY 1
), written AS (
    SELECT r.root, r.writes, r.alone, r.parts, array_agg(a.attnum) FILTER (WHERE k.is_new) AS added,
           bool_and(k.is_new) AS is_new
    FROM own JOIN roots r ON true
    JOIN pg_attribute a ON a.attrelid = r.root AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL (
        SELECT (a.xmin::text::bigint - coalesce(%(since)s::bigint, own.xid) %% {EPOCH} + {EPOCH}) %% {EPOCH}
               < own.beyond - coalesce(%(since)s::bigint, own.xid) AS is_new
    ) k
    GROUP BY 1, 2, 3, 4 HAVING bool_or(k.is_new)
)
"""  # noqa: S608 - numbers.
_SELECT = """
SELECT own.xid, own.beyond, EXISTS (SELECT FROM roots), w.root::bigint,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname), w.writes, w.alone,
       w.parts::bigint[],
       ARRAY(SELECT coalesce(pg_relation_filenode(p), 0)::bigint FROM unnest(w.parts) WITH ORDINALITY AS u (p, at)
             ORDER BY at), w.added, w.is_new
FROM own LEFT JOIN (written w JOIN pg_class c ON c.oid = w.root JOIN pg_namespace n ON n.oid = c.relnamespace) ON true
"""
_SINCE = f""", since AS (
    INSERT INTO pilotage.overwritten_rows (relation, kind, revision, overwritten_by, written_by, key)
    SELECT {ANY_RELATION}, 'since', %(revision)s, own.xid::text::xid8,
           least(%(restorable)s::bigint, coalesce(%(since)s::bigint, own.xid))::text::xid8, NULL FROM own
)
"""  # noqa: S608 - a number.


@dataclass(frozen=True)
class WrittenTable:
    """A table with columns that its release has added, to which a transaction has written.

    Attributes:
        root: its oid; of a partition, that of the root of its tree.
        name: with its schema, as SQL.
        has_row_writes: whether rows of it may have been written.
        is_locked_alone: whether the transaction holds AccessExclusiveLock on it, so that nobody else can read it.
        partitions: the oids of what is locked of it, in order.
        file_nodes: of each of these, as others see it.
        new_columns: the numbers of the columns that the release has added.
        is_new: whether all of its columns are.
    """

    root: int
    name: str
    has_row_writes: bool
    is_locked_alone: bool
    partitions: tuple[int, ...]
    file_nodes: tuple[int, ...]
    new_columns: tuple[int, ...]
    is_new: bool


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that has written.

    Attributes:
        xid: its id.
        next_xid: an id that was not assigned before it was looked at.
        has_tables: whether it may have written to tables that others see.
        written: the tables with columns of its release to which it has written.
    """

    xid: int
    next_xid: int
    has_tables: bool
    written: tuple[WrittenTable, ...]


@dataclass(frozen=True)
class SinceNote:
    """A note of since when the rows of users are recorded that a revision overwrites.

    Attributes:
        revision: the revision.
        since_xid: the oldest transaction that may have been committed after the restore point; None for the oldest of
            the release.
    """

    revision: str
    since_xid: int | None


def open_transaction(
    session: psycopg.Connection, pid: int, oldest_xid: int | None, note: SinceNote | None = None
) -> OpenTransaction | None:
    """The transaction of another session; None where it has none that has written.

    Args:
        session: in autocommit, not the one that is looked at.
        pid: the process id of the backend that is looked at; it is to be idle in its transaction.
        oldest_xid: the oldest transaction of its release; None where this is the oldest.
        note: what is written down in the same statement, where there is such a transaction; it counts only where that
            is committed.

    Locks: AccessShareLock on system catalogues.
    """
    # As texts: a number is sent as the smallest type that holds it, and each of these would be planned anew.
    given = {"pid": pid, "since": _text(oldest_xid)}
    if note is None:
        rows = session.execute(f"{_HELD}{_SELECT}".encode(), given, prepare=True).fetchall()
    else:
        noted = {**given, "revision": note.revision, "restorable": _text(note.since_xid)}
        rows = session.execute(f"{_HELD}{_SINCE}{_SELECT}".encode(), noted, prepare=True).fetchall()
    if not rows:
        return None
    written = [
        WrittenTable(root, name, writes, alone, tuple(parts), tuple(files), tuple(added), is_new)
        for _, _, _, root, name, writes, alone, parts, files, added, is_new in rows
        if root is not None
    ]
    return OpenTransaction(rows[0][0], rows[0][1], rows[0][2], tuple(written))


def _text(xid: int | None) -> str | None:
    return None if xid is None else str(xid)
