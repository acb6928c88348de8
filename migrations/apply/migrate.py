"""Applies revisions: one transaction each, never waiting long for a lock, never half-done."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg

from migrations.apply._request import Applied, ApplyRequest
from migrations.apply._run import ApplyRun, LockRetryPolicy
from migrations.apply.errors import NotHeld
from migrations.apply.lock_queue_guard import END_IDLE_AFTER_S, HolderPolicy
from migrations.apply.owner_rights import refuse_without_rights
from migrations.apply.progress import OnEvent, Progress
from migrations.apply.resume_notes import ProgressNotes, tidy
from migrations.database.locks import migration_lock, one_migration
from migrations.database.time_limits import STATEMENT_TIMEOUT_S
from migrations.database.trace import Trace
from migrations.errors import DatabaseRefused, HistoryUnreadable, NotKept, OutOfStep, describe_database
from migrations.history import applied_revisions, overwritten_rows
from migrations.history.foreign_project import with_version_table
from migrations.history.guard_row import Fence, GuardRaised, write_guard
from migrations.history.revisions import History, current_revisions

__all__ = ["Applied", "Progress", "downgrade", "upgrade"]

log = logging.getLogger(__name__)

ADVISORY_WAIT_S = 5.0


def upgrade(
    dsn: str,
    history: History,
    *,
    target: str = "head",
    release_id: str,
    lock_timeout_ms: int = 100,
    budget_s: float = 60.0,
    on_event: OnEvent | None = None,
    record: bool = True,
    advisory_wait_s: float = ADVISORY_WAIT_S,
    trace: Trace | None = None,
    policy: HolderPolicy = "wait",
    end_idle_after_s: float = END_IDLE_AFTER_S,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    since_xid: int | None = None,
    fence: Fence | None = None,
) -> tuple[Applied, ...]:
    """Apply what is missing up to a revision. Those that were applied before a failure stand.

    Args:
        dsn: direct connection string of the owner.
        history: the revisions.
        target: `head`, `heads`, or a revision.
        release_id: in whose name; it is recorded.
        lock_timeout_ms: milliseconds that a statement waits for a lock, and all that come after it for the statement.
        budget_s: seconds that a revision may be tried again, or kept back, while others hold its locks.
        on_event: told of each revision, of each try that got no lock, of who is waited for, and of builds of indexes
            (of these from another thread).
        record: whether to keep a record in the database.
        advisory_wait_s: seconds to wait for another migration's end.
        trace: told of every statement, while it runs.
        policy: `wait` for whoever holds what a revision needs, or `end` those that sit idle in a transaction.
        end_idle_after_s: seconds that such a session has sat idle before it is ended.
        statement_timeout_s: seconds that a statement may run which makes others wait; 0 for no limit.
        since_xid: the oldest transaction that may have been committed after the restore point: rows that were written
            since then are recorded where a revision overwrites them. None for the release's first transaction.
        fence: what keeps a run from going on that has lost its release; None where nobody can take it.

    Returns:
        What was applied, in order; empty where nothing was missing.

    Raises:
        AdvisoryLockHeld, DatabaseUnreachable: nothing, or nothing more, was applied; trying again may help.
        LockBudgetExceeded: others held a table for too long; they are named.
        RevisionFailed: a revision raised; it was rolled back.
        StatementTooLong: a statement that makes others wait took too long; it was rolled back.
        OwnerLacksRight: the role may not do what the revisions do; nothing was written.
        OutOfStep: a revision stands that the history lacks.
        UnknownRevision, SeveralHeads, HistoryUnreadable: the history does not lead to the target.
        WorksElsewhere, NotKept: the env.py of a project that is not ours connects elsewhere, or does not commit.

    Locks: those of the revisions, each until its transaction ends; a session advisory lock.
    """
    history = with_version_table(dsn, history)
    targets = history.targets(target)
    if changed := history.changed_files():
        raise HistoryUnreadable(history.folders, f"{', '.join(changed)} changed after the plan was read")
    done: tuple[Applied, ...] = ()
    retry_policy = LockRetryPolicy(budget_s, policy, end_idle_after_s)
    with one_migration(), migration_lock(dsn, wait_s=advisory_wait_s) as lock_session:
        stands = _standing(lock_session, dsn, history)
        if history.environment is None:
            refuse_without_rights(lock_session, dsn, history.path_to(targets, stands))
        is_recorded = _records(lock_session, dsn, fence, record=record and history.environment is None)
        progress_notes = _progress_notes(history, is_recorded=is_recorded, record=record)
        for one in targets:
            if not history.path_to(one, stands):
                continue
            limit_ms = round(statement_timeout_s * 1000)
            request = ApplyRequest(
                history,
                one,
                True,
                release_id,
                is_recorded,
                lock_timeout_ms,
                limit_ms,
                budget_s,
                progress_notes,
                since_xid,
                fence,
            )
            done += ApplyRun(dsn, lock_session, request, retry_policy, on_event, trace).run()
            stands = _standing(lock_session, dsn, history)
        if missing := history.path_to(targets, stands):
            raise NotKept(describe_database(dsn), [one.id for one in missing])
        _tidy(lock_session, progress_notes, done)
    return done


def downgrade(
    dsn: str,
    history: History,
    target: str,
    *,
    release_id: str = "downgrade",
    lock_timeout_ms: int = 100,
    budget_s: float = 60.0,
    on_event: OnEvent | None = None,
    advisory_wait_s: float = ADVISORY_WAIT_S,
    trace: Trace | None = None,
    fence: Fence | None = None,
) -> tuple[Applied, ...]:
    """Take away what stands above a revision, newest first.

    Args:
        dsn: direct connection string of the owner.
        history: the revisions.
        target: the revision to stand at afterwards, or `base`.
        release_id: in whose name.
        lock_timeout_ms: milliseconds that a statement waits for a lock.
        budget_s: seconds that a revision may be tried again while others hold its locks.
        on_event: told of each revision and of each try that got no lock.
        advisory_wait_s: seconds to wait for another migration's end.
        trace: told of every statement, while it runs.
        fence: what keeps a run from going on that has lost its release; None where nobody can take it.

    Returns:
        What was taken away, in order.

    Raises:
        MigrationError: as `upgrade` does.

    Locks: those of the revisions, each until its transaction ends; a session advisory lock.
    """
    history = with_version_table(dsn, history)
    resolved = target if target == "base" else history.resolve(target)
    with one_migration(), migration_lock(dsn, wait_s=advisory_wait_s) as lock_session:
        stands = _standing(lock_session, dsn, history)
        if resolved in stands or not stands:
            _tidy(lock_session, _progress_notes(history, is_recorded=False, record=True), ())
            return ()
        if resolved != "base" and resolved not in history.with_ancestors(stands):
            raise OutOfStep(describe_database(dsn), stands, f"{resolved} is not below it")
        is_recorded = _records(lock_session, dsn, fence, record=history.environment is None)
        progress_notes = _progress_notes(history, is_recorded=is_recorded, record=True)
        request = ApplyRequest(
            history, resolved, False, release_id, is_recorded, lock_timeout_ms, 0, budget_s, progress_notes, fence=fence
        )
        return ApplyRun(dsn, lock_session, request, LockRetryPolicy(budget_s), on_event, trace).run()


def _progress_notes(history: History, *, is_recorded: bool, record: bool) -> ProgressNotes:
    if is_recorded:
        return "permanent"
    # Of a project that is not ours nothing of ours stays in the database.
    return "temporary" if record and history.environment is not None else "off"


def _tidy(session: psycopg.Connection, progress_notes: ProgressNotes, done: Sequence[Applied]) -> None:
    """Take away what one left that was killed once its last revision stood; a run does so itself."""
    if progress_notes == "temporary" and not done:
        tidy(session)


def _standing(session: psycopg.Connection, dsn: str, history: History) -> tuple[str, ...]:
    try:
        stands = current_revisions(session, history.version_table)
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "reading alembic_version", error) from error
    if unknown := [revision for revision in stands if revision not in history]:
        raise OutOfStep(
            describe_database(dsn), stands, f"this history has no {', '.join(unknown)}; take the commit that has it"
        )
    return stands


def _records(session: psycopg.Connection, dsn: str, fence: Fence | None, *, record: bool) -> bool:
    if not record:
        return False
    try:
        is_recorded = applied_revisions.ensure_tables(session)
        if is_recorded:
            overwritten_rows.forget_old(session)
            if fence is not None and fence.holder is not None:
                write_guard(session, fence.holder)
    except GuardRaised as error:
        raise NotHeld(error) from error
    except psycopg.Error as error:
        raise DatabaseRefused.of(dsn, "making the table of applied revisions", error) from error
    if not is_recorded:
        log.warning(
            "no record of applied revisions is kept on %s: the role may not create a schema", describe_database(dsn)
        )
    return is_recorded
