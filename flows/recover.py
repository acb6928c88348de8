"""Recovery: a release or rollback whose process died is finished, from its ledger and what really stands."""

import logging

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from deployments.ledger import Release
from flows.dead_release import DeadRelease, PlannedRecovery, plan_recovery, read_dead_release
from flows.decision import Recovery
from flows.handover import held
from flows.release import (
    RolledBack,
    check_verdicts,
    choose_and_run_rollback,
    close_and_announce,
    contract_production,
    record_success,
    watch,
)
from flows.rollback import recover_and_report
from tasks import best_effort, gates, production_state, protection, record
from tasks.errors import RollbackFailed, TaskError
from tasks.process import broken_pipes
from tasks.step import without_secrets
from tasks.steps import database_guard, dead_runs, production, rehearsal, validation

log = logging.getLogger(__name__)


@flow(name="recover", flow_run_name="recover {release_id}")
@without_secrets
def recover(release_id: str = "", wait: bool = True) -> State[str]:
    """Finish a release or rollback whose process died: forward where production is found good, back otherwise.

    Running it again, also while it runs or after it was killed, has the same effect as running it once.

    Args:
        release_id: Id of the release in the ledger; empty for the one that has not ended.
        wait: Whether to wait for its lease to run out, where its process may still live.
    """
    broken_pipes.survive_broken_pipes()
    found = gates.release_to_recover(release_id or None, wait=wait)
    if found.release is None:
        said = f"nothing to recover: {found.why}"
        return Completed(message=said, data=said)
    taken = record.take_over_release(found.release.id)
    with held(taken):
        dead = read_dead_release(taken)
        protect_production(taken.id)
        ended = database_guard.take_over_databases(taken.id)
        planned = plan_recovery(dead)
        log.warning("%s; %s; %s", dead.death, planned.standing, planned.description)
        record.note(taken.id, record.RECOVERY, died=dead.died_in, does=planned.description, sessions_ended=ended)
        best_effort.notify_slack(
            taken.id,
            f"Recovery of {taken.ref} begins",
            {
                **planned.context.release_ids,
                f"Its {dead.end}": dead.died_in,
                "What stands": planned.standing,
            },
            text=f"Doing now: {planned.description}",
        )
        best_effort.attempt(
            taken.id,
            "the branch that was rehearsed on could not be deleted, and expires by itself",
            lambda: rehearsal.delete_branch_left(taken.id),
        )
        try:
            summary = run_recovery(planned)
        except TaskError as error:
            end_dead_flow_run(found.release, str(error))
            raise
        end_dead_flow_run(found.release, summary)
        return Completed(message=summary, data=summary)


def end_dead_flow_run(died: Release, outcome: str) -> None:
    """Let Prefect say how the release of a run that died has ended, where there is a server."""
    flow_run_id = died.flow_run_id
    if flow_run_id is not None and flow_run.get_id() is not None:
        best_effort.attempt(
            died.id,
            "Prefect may call the run that died running",
            lambda: dead_runs.end_dead_flow_run(flow_run_id, outcome),
        )


def protect_production(release_id: str) -> None:
    """Give production's branch back the protection that a restore lifted: Neon refuses one that is asked for late."""

    def give_back() -> None:
        if warning := protection.restore_protection(release_id):
            log.warning("%s", warning)

    best_effort.attempt(release_id, "whether production's branch is protected cannot be told", give_back)


def run_recovery(planned: PlannedRecovery) -> str:
    """Finish the release as it was planned.

    Returns:
        The summary.

    Raises:
        RolledBack: it went forward, failed, and was taken back.
        RollbackFailed: its rollback could not be run to its end; a person has to take over.
    """
    dead = planned.dead
    if planned.recovery in {Recovery.FINISH_ROLLBACK, Recovery.TAKE_BACK}:
        return recover_and_report(planned.context, planned.path, dead.error, dead.release.ref, is_announced=True)
    try:
        if planned.recovery is Recovery.GO_ON:
            go_on(planned)
        summary = record_success(dead.release.id, dead.request, dead.commit, revisions_text(dead))
    except Exception as error:
        raise RolledBack(
            choose_and_run_rollback(dead.release.id, dead.request, dead.commit, dead.progress, error)
        ) from error
    return close_and_announce(dead.release.id, dead.request, dead.progress, f"{summary}; {dead.ended}")


def revisions_text(dead: DeadRelease) -> str:
    """Where production's schema stands at the end; what the release was asked for, such as `head`, says nothing."""
    stands = production_state.read().revisions
    if stands is not None:
        return ", ".join(stands) or "no revision"
    return dead.progress.point.target_revision if dead.progress.point else dead.release.target_revision


def go_on(planned: PlannedRecovery) -> None:
    """Validate and watch the build that serves, and do what was left to do."""
    dead = planned.dead
    release_id, commit, progress, point = dead.release.id, dead.commit, dead.progress, dead.progress.point
    if point is None or dead.build_id is None:
        raise RollbackFailed("no restore point was sealed")
    since = production.read_clock()
    if dead.is_contract_cut_off:
        # It stands half-way, over a build that was found good: it is finished before anything is compared.
        expect_users = not progress.is_first_release
        window = validation.WatchWindow(
            dead.request.watch_seconds, since, dead.build_id, commit.sha, expect_users=expect_users
        )
    else:
        revisions = (dead.expanded,) if dead.expanded else planned.context.revisions
        check_verdicts(progress, validation.validate_database(release_id, commit, revisions, point))
        window = watch(release_id, dead.request, commit, progress, dead.build_id, since)
    if dead.has_contract:
        contract_production(release_id, commit, point.target_revision, point, progress, window)
