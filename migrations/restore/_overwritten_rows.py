"""What revisions have overwritten of what users wrote, as a database has recorded it before each of their commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg

from migrations.history.overwritten_rows import ANY_RELATION
from migrations.restore._writers import Writer, Writers

# A transaction that was rolled back, or cut off, has overwritten nothing.
_RECORDED = """
SELECT relation::bigint, kind, revision, overwritten_by::text::bigint, written_by::text::bigint, key
FROM pilotage.overwritten_rows WHERE pg_xact_status(overwritten_by) IS DISTINCT FROM 'aborted'
"""


@dataclass(frozen=True)
class Overwritten:
    """A row that was overwritten.

    Attributes:
        revision: the revision that did.
        written_by: the transaction that had written it.
        writer: who that was: a user, or one who may have been.
    """

    revision: str
    written_by: int
    writer: Writer


@dataclass
class TableOverwrites:
    """What was overwritten in one table.

    Attributes:
        rows: the rows, by key.
        without_key: the rows of a table that has none.
        unseen: the revisions of which it is not known what they have overwritten.
        inserted_by: the revisions that have inserted rows.
        put_back: those of them that have written a row whose key stood at the point.
        late: the revisions of which it is recorded only since later than the point.
    """

    rows: dict[tuple[str, ...], Overwritten] = field(default_factory=dict[tuple[str, ...], Overwritten])
    without_key: list[Overwritten] = field(default_factory=list[Overwritten])
    unseen: set[str] = field(default_factory=set[str])
    inserted_by: set[str] = field(default_factory=set[str])
    put_back: set[str] = field(default_factory=set[str])
    late: set[str] = field(default_factory=set[str])

    def by_revision(self, writer: Writer) -> Writer:
        """The writer of a row that a revision wrote last, and of which no user's write before is recorded."""
        return Writer(writer.revision, certain=False) if self.unseen or writer.revision in self.late else writer

    def stood_before(self, writer: Writer) -> None:
        """Take note that a revision wrote a row whose key stood at the point."""
        if writer.revision in self.inserted_by:
            self.put_back.add(str(writer.revision))

    def notes(self) -> Iterator[str]:
        """What cannot be said row by row, in words."""
        if self.unseen:
            yield (
                f"what users had written before {', '.join(sorted(self.unseen))} overwrote it could not be looked at: "
                "rows that a revision wrote last count as the revisions' or users', and rows that it deleted or set "
                "back to what they were are not listed"
            )
        if self.put_back:
            yield (
                f"rows that users had deleted and that {', '.join(sorted(self.put_back))} inserted again, if any, "
                "are not told from rows that it updated"
            )


@dataclass
class Overwrites:
    """What was overwritten in all tables.

    Attributes:
        recorded: what is recorded of each table, by its oid; None where nothing is, since an older version applied
            the revisions.
        committed: whether a transaction was committed after the restore point.
        writers: which transactions are those of revisions.
        first: the oldest transaction that may have been committed after the restore point.
    """

    recorded: dict[int, list[tuple[str, str, int, dict[str, str] | None]]] | None
    committed: Callable[[int], bool]
    writers: Writers
    first: int

    @classmethod
    def of(cls, kept: psycopg.Connection, committed: Callable[[int], bool], writers: Writers, first: int) -> Overwrites:
        """Read what a database has recorded.

        Raises:
            psycopg.Error: it could not be read.
        """
        row = kept.execute("SELECT to_regclass('pilotage.overwritten_rows') IS NOT NULL").fetchone()
        if not row or not row[0]:
            return cls(None, committed, writers, first)
        recorded: dict[int, list[tuple[str, str, int, dict[str, str] | None]]] = {}
        for relation, kind, revision, overwritten_by, written_by, key in kept.execute(_RECORDED).fetchall():
            if committed(overwritten_by):
                recorded.setdefault(relation, []).append((kind, revision, written_by, key))
        return cls(recorded, committed, writers, first)

    @property
    def note(self) -> str:
        """What cannot be told of any table, in words."""
        notes: list[str] = []
        if unseen := sorted({one[1] for one in self._of_any_table if one[0] == "unseen"}):
            notes.append(
                f"{', '.join(unseen)} ran statements that commit by themselves: "
                "what they overwrote or deleted of users is not listed"
            )
        if late := sorted(self._late):
            notes.append(
                f"{', '.join(late)} came with a later restore point, or without one: what was written before that, "
                "and overwritten or deleted by them, is not listed"
            )
        return "; ".join(notes)

    @property
    def _of_any_table(self) -> Sequence[tuple[str, str, int, dict[str, str] | None]]:
        return (self.recorded or {}).get(ANY_RELATION, ())

    @property
    def _late(self) -> set[str]:
        return {revision for kind, revision, xid, _ in self._of_any_table if kind == "since" and xid > self.first}

    def of_table(self, relation: int, key: Sequence[str] | None) -> TableOverwrites:
        """What was overwritten in a table.

        Args:
            relation: its oid.
            key: the columns that the receipt tells its rows by; None where there are none.
        """
        found = TableOverwrites(late=self._late)
        if self.recorded is None:
            found.unseen |= self.writers.revisions(self.committed)
            return found
        for kind, revision, written_by, values in self.recorded.get(relation, ()):
            if kind == "inserted":
                found.inserted_by.add(revision)
            elif kind == "unseen":
                found.unseen.add(revision)
            elif kind == "row" and self.committed(written_by):
                self._add(found, Overwritten(revision, written_by, self.writers.who(written_by)), values or {}, key)
        return found

    @staticmethod
    def _add(found: TableOverwrites, row: Overwritten, values: dict[str, str], key: Sequence[str] | None) -> None:
        if row.writer.revision is not None and row.writer.certain:
            return
        if not key:
            found.without_key.append(row)
        elif not set(key) <= values.keys():
            # It had another key then.
            found.unseen.add(row.revision)
        else:
            place = tuple(values[name] for name in key)
            if place not in found.rows or row.writer.revision is None:
                found.rows[place] = row
