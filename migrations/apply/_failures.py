"""What an exception from a run of revisions means, whatever driver the project's env.py has chosen."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError

from migrations.apply._request import Attempt
from migrations.apply.errors import StatementTooLong
from migrations.database.raw_statements import RawUseRefused
from migrations.disclosure.normalized_statements import normalized
from migrations.disclosure.raised_exceptions import is_raised_by_project, safe_text
from migrations.disclosure.server_messages import safe_message, sqlstate_of
from migrations.errors import DatabaseRefused, HistoryUnreadable, MigrationError, RevisionFailed, is_cut
from migrations.history.program_exits import ProgramEnded
from migrations.history.project_failures import failure_of

# Source: PostgreSQL's error codes: lock_not_available, deadlock_detected; query_canceled.
_CONTENDED = frozenset({"55P03", "40P01"})
_CANCELLED = "57014"


def cut(error: BaseException) -> BaseException | None:
    """The driver's error where the connection is gone; None where it is not."""
    driver = _driver_error(error)
    is_gone = isinstance(error, DBAPIError) and error.connection_invalidated
    return driver if driver is not None and (is_gone or is_cut(driver)) else None


def is_contended(error: BaseException) -> bool:
    """Whether a lock was not to be had, so that another try may help."""
    return sqlstate_of(_driver_error(error) or error) in _CONTENDED


def is_ours(error: BaseException, folders: Sequence[Path]) -> bool:
    """Whether an exception is one of ours, told in our own words, and not raised by a revision, with whatever it read.

    Args:
        error: what ended a run.
        folders: where the revisions lie.
    """
    return isinstance(error, MigrationError) and not _is_raised_in(error, folders)


def _is_raised_in(error: BaseException, folders: Sequence[Path]) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(Path(frames[-1].filename).is_relative_to(folder) for folder in folders)


def failed_before_any(error: Exception, dsn: str, folders: Sequence[Path]) -> MigrationError:
    """What went wrong before a revision began."""
    driver = _driver_error(error)
    if isinstance(driver, psycopg.Error):
        return DatabaseRefused.of(dsn, "reading alembic_version", driver)
    return HistoryUnreadable(folders, failure_of(error))


def failed(
    error: Exception, attempt: Attempt, file: Path, *, committed: Sequence[str], left: Sequence[str]
) -> MigrationError:
    """What went wrong in a revision.

    Args:
        error: what it raised.
        attempt: what was sent last.
        file: the revision's own.
        committed: the statements of it that stand, since it works outside a transaction.
        left: what its last statement left, and what could not be taken away.
    """
    driver = _driver_error(error)
    state = sqlstate_of(driver)
    left_behind = [*(f"what this did: {normalized(statement)[:200]}" for statement in committed[:10]), *left]
    statement = error.statement if isinstance(error, DBAPIError) else None
    revision = attempt.revision or ""
    if state == _CANCELLED and attempt.was_too_long:
        relations = [lock.relation for lock in attempt.requested.locks]
        return StatementTooLong(revision, statement or "", attempt.limit_ms, relations, left_behind)
    return RevisionFailed(
        revision,
        sqlstate=state,
        statement=statement,
        message=_message_of(error, driver, statement or "", file),
        left_behind=left_behind,
        has_no_downgrade=isinstance(error, NotImplementedError),
    )


def _message_of(error: Exception, driver: BaseException | None, statement: str, file: Path) -> str:
    if driver is not None:
        return safe_message(driver, statement)
    if isinstance(error, RawUseRefused) and not _is_raised_in(error, [file.parent]):
        # Our own words tell no row.
        return str(error)
    if isinstance(error, ProgramEnded) and error.__cause__ is not None:
        return str(ProgramEnded(safe_text(error.__cause__, file)))
    return safe_text(error, file)


def _driver_error(error: BaseException) -> BaseException | None:
    if isinstance(error, DBAPIError):
        return error.orig
    # What the project raises itself is in its own words, whatever class it takes.
    return error if isinstance(error, psycopg.Error) and not is_raised_by_project(error) else None
