"""Revisions marked as applied or rolled back in alembic_version, where the catalogue agrees; refused otherwise."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg

from migrations.apply.resume_notes import forget_by_hand, is_unfinished, tidy
from migrations.authoring.errors import MarkRefused
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.locks import migration_lock
from migrations.database.session import connect
from migrations.database.tools_tables import KEEP_VERSION_TABLE
from migrations.disclosure.sentences import sentence
from migrations.errors import DatabaseRefused, MigrationError
from migrations.history import applied_revisions
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import History, current_revisions
from migrations.recording.throwaway import expected_catalog
from migrations.sql.names import quoted

Mark = Literal["applied", "rolled back"]

RELEASE = "resolve"
WAIT_S = 5.0

_RECORD = """
INSERT INTO pilotage.applied_revisions (revision, checksum, release_id, duration_ms) VALUES (%s, %s, %s, 0)
ON CONFLICT (revision) DO UPDATE
SET checksum = excluded.checksum, release_id = excluded.release_id, duration_ms = 0,
    applied_at = clock_timestamp(), applied_by = session_user, xid = pg_current_xact_id()
"""


@dataclass(frozen=True)
class MarkedRevision:
    """A revision that was marked, and what that changed.

    Attributes:
        revision: the revision that was marked.
        mark: applied or rolled back.
        before: the current revisions before it was marked.
        after: the current revisions now.
        recorded: whether the record of applied revisions was changed, too.
    """

    revision: str
    mark: Mark
    before: tuple[str, ...]
    after: tuple[str, ...]
    recorded: bool


def mark_revision(
    live: str, server: str, history: History, revision: str, mark: Mark, *, unchecked: bool = False
) -> MarkedRevision:
    """Mark a revision as applied or as rolled back, where the catalogue agrees.

    Of one that was cut off half-way somebody's word is taken, where it is asked for: it may have been rows alone, and
    what its revisions promise cannot be built where the role may make no database, or the history does not begin empty.

    Args:
        live: direct connection string of the owner of the database.
        server: of the server to build on what the revision promises.
        history: the revisions.
        revision: the revision.
        mark: what to say of it.
        unchecked: whether to believe it without the catalogue; of a revision that was cut off half-way alone.

    Raises:
        MarkRefused: the mark stands already, leaves a gap, or is not what the catalogue says.
        AdvisoryLockHeld: another session migrates this database.
        MigrationError: the database could not be read, or the promise not be built.

    Locks: a session advisory lock; AccessShareLock on the system catalogues; RowExclusiveLock on alembic_version and
        pilotage.applied_revisions for one transaction.
    """
    chosen = history.revision(revision).id
    history = with_version_table(live, history)
    with migration_lock(live, wait_s=WAIT_S) as session:
        try:
            with connect(live) as connection:
                current = current_revisions(connection, history.version_table)
                # Of a revision that was cut off half-way it may be said that the mark of before is right.
                is_half = is_unfinished(connection, chosen)
                is_as_before = is_half and (mark == "applied") == (chosen in current)
                after = tuple(sorted(current)) if is_as_before else _current_after(history, current, chosen, mark)
                if unchecked and not is_half:
                    raise MarkRefused(chosen, "it was not cut off half-way: leave --unchecked away")
                if not unchecked:
                    with _suggesting_unchecked(chosen, is_offered=is_half):
                        found = read_catalog(connection).without("grant")
                        expected = expected_catalog(server, history, after).without("grant")
                        _refuse_if_different(chosen, mark, expected, found)
                recorded = _write(connection, history, chosen, mark, after)
            if history.environment is not None:
                # Of a project that is not ours nothing of ours stays in the database.
                tidy(session)
        except psycopg.Error as error:
            raise DatabaseRefused.of(live, "marking a revision", error) from error
    return MarkedRevision(chosen, mark, current, after, recorded)


@contextmanager
def _suggesting_unchecked(revision: str, *, is_offered: bool) -> Generator[None]:
    """Name the way out where a revision was cut off half-way, and the catalogue cannot say that it is settled."""
    try:
        yield
    except MigrationError as error:
        if not is_offered:
            raise
        why = error.why if isinstance(error, MarkRefused) else f"what the revisions promise cannot be built: {error}"
        details = error.details if isinstance(error, MarkRefused) else ()
        raise MarkRefused(
            revision, f"{sentence(why)} Where you have looked yourself, say --unchecked, too", details
        ) from error


def _current_after(history: History, current: Sequence[str], revision: str, mark: Mark) -> tuple[str, ...]:
    """The current revisions once the mark is set."""
    unknown = [one for one in current if one not in history]
    if unknown:
        raise MarkRefused(
            revision, f"{', '.join(unknown)} stands, which this history lacks; take the commit that has it"
        )
    there = history.with_ancestors(current)
    if mark == "applied":
        if revision in there:
            raise MarkRefused(revision, "it is marked as applied already")
        missing = [one for one in history.with_ancestors([revision]) if one not in there and one != revision]
        if missing:
            raise MarkRefused(revision, f"what it follows is not applied ({', '.join(missing)}): begin with that")
        left = {*there, revision}
    else:
        if revision not in current:
            why = "other revisions stand on it" if revision in there else "it is not marked as applied"
            raise MarkRefused(revision, f"{why}; {', '.join(current) or 'base'} stands")
        left = set(there) - {revision}
    followed = {down for one in left for down in history.revision(one).down_revisions}
    return tuple(sorted(left - followed))


def _refuse_if_different(revision: str, mark: Mark, expected: Catalog, found: Catalog) -> None:
    left = [str(one) for one in difference(expected, found)]
    if left:
        state = "with it" if mark == "applied" else "without it"
        advice = "bring the database there by hand, or let the release do it"
        raise MarkRefused(revision, f"the database is not what the revisions promise {state} ({advice})", left)


def _write(connection: psycopg.Connection, history: History, revision: str, mark: Mark, after: Sequence[str]) -> bool:
    """Set the mark, and bring the record along where one is kept; all in the transaction that read the catalogue."""
    table = history.version_table
    there = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    if there is None or there[0] is None:
        key = quoted(table.rpartition(".")[2].strip('"') + "_pkc")
        columns = f"version_num varchar(32) NOT NULL, CONSTRAINT {key} PRIMARY KEY (version_num)"
        connection.execute(f"CREATE TABLE {table} ({columns}); {KEEP_VERSION_TABLE}".encode())
    connection.execute(f"DELETE FROM {table} WHERE version_num <> ALL (%s)".encode(), (list(after),))  # noqa: S608
    for one in after:
        connection.execute(
            f"INSERT INTO {table} (version_num) SELECT %s"  # noqa: S608
            f" WHERE NOT EXISTS (SELECT FROM {table} WHERE version_num = %s)".encode(),
            (one, one),
        )
    forget_by_hand(connection, revision)
    if history.environment is not None or not applied_revisions.has_records(connection):
        return False
    if mark == "applied":
        connection.execute(_RECORD, (revision, history.revision(revision).checksum, RELEASE))
    else:
        connection.execute("DELETE FROM pilotage.applied_revisions WHERE revision = %s", (revision,))
    return True
