"""The statements that revisions send, recorded on a throwaway database.

A revision is a program: what it sends is known for certain only when it runs. Where it cannot run on an empty
database, Alembic's offline SQL stands in, and the recording says so.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import postgast
from alembic.runtime.migration import MigrationStep, RevisionStep

from migrations.apply.migrate import downgrade, upgrade
from migrations.database.bookkeeping import is_bookkeeping
from migrations.database.locks import one_migration
from migrations.database.trace import Lock, Trace, TracedStatement
from migrations.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    HistoryUnreadable,
    MigrationError,
    RevisionFailed,
)
from migrations.history.env_runners import run_env, transaction_per_revision
from migrations.history.project_failures import failure_of
from migrations.history.revisions import History
from migrations.recording.throwaway import throwaway_database

log = logging.getLogger(__name__)

Source = Literal["recorded", "offline"]
# Comments and blank lines that a statement begins with; those inside of it are its own.
_LEADING = re.compile(r"\A(?:[ \t]*(?:--[^\n]*)?(?:\n|\Z))+")


@dataclass(frozen=True)
class RecordedStatement:
    """A statement that a revision sends.

    Attributes:
        sql: its text, parameters written in.
        transactional: whether it runs inside the revision's transaction.
        locks: on relations that were there before the transaction; empty where it was not run.
    """

    sql: str
    transactional: bool
    locks: tuple[Lock, ...] = ()


@dataclass(frozen=True)
class Recording:
    """The statements of revisions' upgrades and downgrades.

    Attributes:
        source: recorded where they ran on a throwaway database, offline where Alembic wrote their SQL.
        up: statements by revision.
        down: statements of the way back by revision; a revision without an entry has none that works.
        note: why it could not be recorded, or where the way back ends; empty where all is known.
    """

    source: Source
    up: Mapping[str, tuple[RecordedStatement, ...]]
    down: Mapping[str, tuple[RecordedStatement, ...]] = field(default_factory=dict[str, tuple[RecordedStatement, ...]])
    note: str = ""


def record_statements(dsn: str, history: History, *, current: Sequence[str], target: str | Sequence[str]) -> Recording:
    """Record the statements of the pending revisions' upgrades and downgrades.

    Args:
        dsn: direct connection string of a server where a throwaway database may be made; its own is not touched.
        history: the revisions.
        current: the revisions that stand where the plan will be applied.
        target: where it ends.

    Raises:
        DatabaseUnreachable, DatabaseRefused: there is no throwaway database to be had.
        MigrationError: the history does not lead to the target, or cannot be written offline either.

    Locks: none outside of the throwaway database.
    """
    pending = history.path_to(target, current)
    if not pending:
        return Recording("recorded", {})
    targets = history.targets(target)
    try:
        with throwaway_database(dsn) as empty:
            for revision in current:
                upgrade(empty, history, target=revision, release_id="recording", record=False)
            with Trace.of(empty) as up:
                for one in targets:
                    upgrade(empty, history, target=one, release_id="recording", record=False, trace=up)
            ids = [revision.id for revision in pending]
            down, note = _record_downgrades(empty, history, current)
            return Recording("recorded", _by_revision(up.statements, ids), down, note)
    except RevisionFailed as error:
        log.info("revision %s does not run on an empty database: its SQL is taken from Alembic", error.revision)
        return Recording("offline", offline_sql(history, current=current, target=target), note=str(error))


def _record_downgrades(
    empty: str, history: History, current: Sequence[str]
) -> tuple[Mapping[str, tuple[RecordedStatement, ...]], str]:
    if len(current) > 1:
        return {}, "the way back to several revisions cannot be recorded"
    before = set(history.with_ancestors(current))
    with Trace.of(empty) as trace:
        try:
            gone = downgrade(empty, history, current[0] if current else "base", trace=trace)
        except (DatabaseRefused, DatabaseUnreachable):
            raise
        except MigrationError as error:
            done = [one.revision for one in trace.statements]
            return _by_revision(trace.statements, list(dict.fromkeys(done))), f"the way back ends: {error}"
    ids = [one.revision for one in gone if one.revision not in before]
    return _by_revision(trace.statements, ids), ""


def _by_revision(
    statements: Sequence[TracedStatement], revisions: Sequence[str]
) -> Mapping[str, tuple[RecordedStatement, ...]]:
    return {
        revision: tuple(
            RecordedStatement(one.sql, one.transaction is not None, tuple(held.lock for held in one.locks))
            for one in statements
            if one.revision == revision
        )
        for revision in revisions
    }


def offline_sql(
    history: History, *, current: Sequence[str], target: str | Sequence[str]
) -> Mapping[str, tuple[RecordedStatement, ...]]:
    """The SQL that Alembic writes for the pending revisions without a database, by revision.

    Raises:
        RevisionFailed: a revision reads the database, or sends what cannot be written down.
        HistoryUnreadable: its env.py does not run without a database.
    """
    pending = history.path_to(target, current)
    config, script = history.alembic_config(), history.directory
    # Without a database an env.py asks for the address all the same, which tells Alembic what to write for.
    config.set_main_option("sqlalchemy.url", "postgresql+psycopg://")
    buffer = io.StringIO()
    begins: dict[str, int] = {}

    def steps(at: object, context: object) -> Iterator[RevisionStep]:
        del at, context
        for one in pending:
            # Alembic asks for a revision after it has written all of the one before.
            begins[one.id] = buffer.tell()
            yield MigrationStep.upgrade_from_script(script.revision_map, script.get_revision(one.id))

    try:
        environment = transaction_per_revision(
            config, script, steps, output_buffer=buffer, as_sql=True, starting_rev=tuple(current)
        )
        with one_migration(), environment:
            run_env(script)
    except Exception as error:  # A revision is code of the release: it may raise anything.
        why = f"it cannot be written as SQL: {failure_of(error)}"
        if not begins:
            raise HistoryUnreadable(history.folders, why) from None
        raise RevisionFailed([*begins][-1], sqlstate=None, statement=None, message=why, left_behind=()) from None
    if absent := [one.id for one in pending if one.id not in begins]:
        raise HistoryUnreadable(history.folders, f"its env.py writes no SQL for {', '.join(absent)}")
    text, places = buffer.getvalue(), [*begins.values(), None]
    return {one: _split(text[begin:end]) for (one, begin), end in zip(begins.items(), places[1:], strict=True)}


def _split(text: str) -> tuple[RecordedStatement, ...]:
    found: list[RecordedStatement] = []
    inside = True
    for one in postgast.split(text):
        sql = _LEADING.sub("", one).strip()
        if sql.upper() in {"BEGIN", "COMMIT"}:
            inside = sql.upper() == "BEGIN"
        elif sql and not is_bookkeeping(sql):
            found.append(RecordedStatement(sql, inside))
    return tuple(found)
