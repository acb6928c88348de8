"""Who wrote a row: a revision, users, or one of the two where that cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from migrations.backfill import records
from migrations.history import applied_revisions

_EPOCH = 1 << 32
_NOTED = "SELECT first::text::bigint, beyond::text::bigint, revision, certain FROM pilotage.revision_transactions"


@dataclass(frozen=True)
class Writer:
    """Who wrote a row last.

    Attributes:
        revision: the revision that did, or may have; None where it was a user.
        certain: whether it is known.
    """

    revision: str | None
    certain: bool = True


@dataclass
class Writers:
    """The transactions of revisions, as a database has noted them.

    Attributes:
        single: the revision of a transaction.
        ranges: where ids begin and what they end before, whose they are, and whether all of them are.
    """

    single: dict[int, str]
    ranges: Sequence[tuple[int, int, str, bool]] = ()
    _told: dict[int, Writer] = field(default_factory=dict[int, Writer])

    @classmethod
    def of(cls, connection: psycopg.Connection) -> Writers:
        """Read what a database has noted; nothing where it keeps nothing.

        Raises:
            psycopg.Error: it could not be read.
        """
        single: dict[int, str] = {}
        if applied_revisions.has_records(connection):
            single = {xid: revision for revision, xid in applied_revisions.transaction_ids(connection).items()}
        single |= records.batch_transactions(connection)
        ranges: list[tuple[int, int, str, bool]] = []
        row = connection.execute("SELECT to_regclass('pilotage.revision_transactions') IS NOT NULL").fetchone()
        if row and row[0]:
            for first, beyond, revision, certain in connection.execute(_NOTED).fetchall():
                if certain and beyond == first + 1:
                    single[first] = revision
                else:
                    ranges.append((first, beyond, revision, certain))
        return cls(single, sorted(ranges, key=lambda one: not one[3]))

    def who(self, xid: int) -> Writer:
        """Who a transaction was.

        Args:
            xid: its id, 64 bits wide.
        """
        if xid in self.single:
            return Writer(self.single[xid])
        if xid not in self._told:
            found = (Writer(revision, sure) for first, beyond, revision, sure in self.ranges if first <= xid < beyond)
            self._told[xid] = next(found, Writer(None))
        return self._told[xid]

    def revisions(self, committed: Callable[[int], bool]) -> set[str]:
        """The revisions of which a transaction may have been committed after the restore point.

        Args:
            committed: whether a transaction was.
        """
        found = {revision for xid, revision in self.single.items() if committed(xid)}
        return found | {revision for _, beyond, revision, _ in self.ranges if committed(beyond - 1)}

    def is_own(self) -> sql.Composed:
        """Condition that a row was written by a revision for certain."""
        singles = sql.Literal([xid % _EPOCH for xid in self.single])
        in_range = self._in_range(certain=True)
        return sql.SQL("(xmin::text::bigint = ANY({}::bigint[]) OR {})").format(singles, in_range)

    def is_unclear(self) -> sql.Composed:
        """Condition that a row was written by a revision or by a user."""
        return sql.SQL("(NOT {} AND {})").format(self.is_own(), self._in_range(certain=False))

    def _in_range(self, *, certain: bool) -> sql.Composable:
        # Ids of rows have no epoch, so the distance is what counts.
        within = [
            sql.SQL("(xmin::text::bigint - {} + {}) % {} < {}").format(
                sql.Literal(first % _EPOCH), sql.Literal(_EPOCH), sql.Literal(_EPOCH), sql.Literal(beyond - first)
            )
            for first, beyond, _, sure in self.ranges
            if sure is certain
        ]
        return sql.SQL("({})").format(sql.SQL(" OR ").join(within)) if within else sql.SQL("false")
