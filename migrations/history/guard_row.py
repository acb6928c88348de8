"""The guard row in the target database: which run holds the release, read in the transaction of each revision.

A ledger elsewhere can be asked right before a commit, and the release taken over in between. The row cannot be changed
in between: it is locked by whoever commits, and whoever takes over writes it before anything else is looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import psycopg

from migrations.database.literals import literal

TABLE = """
CREATE TABLE IF NOT EXISTS pilotage.release_guard (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    release_id text NOT NULL,
    opened_at timestamptz NOT NULL,
    fence bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
_WRITE = """
INSERT INTO pilotage.release_guard AS kept (release_id, opened_at, fence) VALUES (%s, %s, %s)
ON CONFLICT (single) DO UPDATE
SET release_id = excluded.release_id, opened_at = excluded.opened_at, fence = excluded.fence,
    written_at = excluded.written_at
WHERE (kept.opened_at, kept.fence) <= (excluded.opened_at, excluded.fence)
RETURNING true
"""
_LOCK = "SELECT true FROM pilotage.release_guard WHERE release_id = {release_id} AND fence = {fence} FOR SHARE"
_READ = "SELECT release_id, fence FROM pilotage.release_guard"


@dataclass(frozen=True)
class Holder:
    """A run that holds a release.

    Attributes:
        release_id: the release.
        opened_at: when it was opened, by the ledger's clock: of two releases the later one counts.
        fence: the number of its lease: of two runs of a release the higher one counts.
    """

    release_id: str
    opened_at: datetime
    fence: int

    @property
    def shared_lock(self) -> str:
        """Statement that locks the guard row where it names this run, and then returns true, else nothing."""
        return _LOCK.format(release_id=literal(self.release_id), fence=int(self.fence))


@dataclass(frozen=True)
class Fence:
    """What keeps a run from going on that has lost its release.

    Attributes:
        check: asked before each statement and each commit; it raises where the run may not go on.
        holder: whom the guard row must name when a revision is committed; None where nobody has to hold a release.
    """

    check: Callable[[], None]
    holder: Holder | None = None


class GuardRaised(Exception):
    """The guard row names another run."""

    transient = False

    def __init__(self, holder: Holder, release_id: str | None, fence: int | None) -> None:
        other = "no run" if release_id is None else f"release {release_id} under the number {fence}"
        super().__init__(
            f"release {holder.release_id} is no longer ours: the guard row of the database (pilotage.release_guard) "
            f"names {other}, and not the number {holder.fence} under which this run holds it"
        )


def write_guard(connection: psycopg.Connection, holder: Holder) -> None:
    """Let the guard row name a run; what any other run has not committed by now it commits no more.

    Args:
        connection: in autocommit.
        holder: the run.

    Raises:
        GuardRaised: the row names a later release, or a later run of this one.

    Locks: the row; waits for whoever is between its last look and its commit.
    """
    values = (holder.release_id, holder.opened_at, holder.fence)
    if connection.execute(_WRITE, values).fetchone() is None:
        raise guard_raised(connection, holder)


def guard_raised(connection: psycopg.Connection, holder: Holder) -> GuardRaised:
    """Why a run may not go on, read from the row as it is.

    Args:
        connection: a session that may read it.
        holder: the run.
    """
    release_id, fence = connection.execute(_READ).fetchone() or (None, None)
    return GuardRaised(holder, release_id, fence)


def has_guard(connection: psycopg.Connection) -> bool:
    """Whether the database has the row's table."""
    return connection.execute("SELECT to_regclass('pilotage.release_guard') IS NOT NULL").fetchone() == (True,)
