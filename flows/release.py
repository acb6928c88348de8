"""The production checklist, top to bottom, and the way back when a step fails."""

import logging
from datetime import datetime

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from deployments.git.repository import Commit
from flows.decision import failure_kind
from flows.handover import held
from flows.rollback import recover_and_report
from flows.rollback_choice import ReleaseProgress, choose_rollback_path
from flows.rollback_report import NOT_CLOSED, hold_for_decision
from migrations.disclosure.sentences import clauses
from migrations.plan.planned_revisions import Plan
from tasks import best_effort, catalogue, gates, record
from tasks.errors import TaskError, verdict_error
from tasks.process import broken_pipes, termination
from tasks.step import without_secrets
from tasks.steps import plan as planning
from tasks.steps import (
    production,
    rehearsal,
    report,
    smoke,
    snapshot,
    staging,
    status,
    unrecorded_grants,
    validation,
)
from tasks.values import ReleaseRequest, RestorePoint, Survey, Verdict

log = logging.getLogger(__name__)


class RolledBack(TaskError):
    """The release failed; what was done about it is the message."""


@flow(name="release", flow_run_name="release {request.ref}")
@without_secrets
def release(request: ReleaseRequest) -> State[str]:
    """Take a commit into production, and bring production back by itself when something goes wrong.

    Args:
        request: What to release, and how.
    """
    broken_pipes.survive_broken_pipes()
    commit = status.resolve_ref(request.ref)
    opened = record.open_release(request, commit, requested_by=f"flow run {flow_run.get_name()}")
    record.note(opened.id, record.REQUEST, **request.model_dump())
    with held(opened):
        progress = ReleaseProgress()
        try:
            summary = run_checklist(opened.id, request, commit, progress)
        except Exception as error:
            raise RolledBack(choose_and_run_rollback(opened.id, request, commit, progress, error)) from error
        summary = close_and_announce(opened.id, request, progress, summary)
        return Completed(message=summary, data=summary)


def run_checklist(release_id: str, request: ReleaseRequest, commit: Commit, progress: ReleaseProgress) -> str:
    """Walk the checklist in its order; the first step that fails ends it."""
    survey = progress.survey = status.survey(commit, request.target_revision, reset_staging=request.reset_staging)
    status.tell_before_start(release_id, request.ref, survey)
    if survey.with_unrecorded_grants:
        unrecorded_grants.record_unrecorded_grants(release_id, commit, survey.with_unrecorded_grants)
    if survey.nothing_to_do(commit.sha):
        serving = gates.serving_build(survey.serving_deployment_id)
        if serving.is_validated or serving.point:
            return validate_serving_build(release_id, request, commit, survey, progress, serving)
    plan = planning.plan_release(release_id, commit, survey)
    snapshot_id = snapshot.take_snapshot(release_id)
    if request.rehearse and plan.revisions and not survey.first_release:
        progress.evidence = rehearsal.rehearse_release(release_id, commit, plan)

    progress.staging_touched = True
    deploy_to_staging(release_id, request, commit, plan)

    point = progress.point = production.seal_restore_point(release_id, snapshot_id, survey)
    window = deploy_to_production(release_id, request, commit, plan, point, progress)
    if plan.contract:
        contract_production(release_id, commit, plan.target, point, progress, window)

    return record_success(release_id, request, commit, survey.target_revision)


def validate_serving_build(
    release_id: str,
    request: ReleaseRequest,
    commit: Commit,
    survey: Survey,
    progress: ReleaseProgress,
    serving: gates.ServingBuild,
) -> str:
    """Production serves the commit already: what nobody has found good yet is validated and watched to its end."""
    if request.reset_staging:
        progress.staging_touched = True
        staging.reset_staging(release_id)
    if serving.is_validated or serving.release_id is None or serving.point is None:
        reset = ", staging is a copy of production again" if request.reset_staging else ""
        status.record_serving_build(release_id)
        return f"nothing to do: production serves {request.ref} already{reset}"
    point = progress.point = serving.point
    progress.validated_release_id, progress.contracting = serving.release_id, serving.contracted
    progress.evidence = rehearsal.evidence_of_release(serving.release_id)
    record.note(release_id, record.VALIDATES, release=serving.release_id)
    since = production.read_clock()
    check_verdicts(progress, validation.validate_database(release_id, commit, survey.production.revisions, point))
    watch(release_id, request, commit, progress, str(survey.serving_deployment_id), since)
    return record_success(release_id, request, commit, survey.target_revision)


def record_success(release_id: str, request: ReleaseRequest, commit: Commit, target_revision: str) -> str:
    """Keep what stands, and say what was released."""
    status.record_serving_build(release_id)
    best_effort.attempt(
        release_id,
        "production's catalogue could not be kept in the ledger, and may be told as drift",
        lambda: catalogue.record_production_catalog(release_id, commit),
    )
    return f"release succeeded: {request.ref} serves at {target_revision}"


def deploy_to_staging(release_id: str, request: ReleaseRequest, commit: Commit, plan: Plan) -> None:
    """Staging deploy and smoke tests: the same revisions and the same build, on a copy."""
    if request.reset_staging:
        staging.reset_staging(release_id)
    staging.migrate_staging(release_id, commit, plan.expanded)
    deployed = staging.deploy_staging(release_id, commit)
    smoke.smoke_test(release_id, deployed, commit)
    if plan.contract:
        staging.migrate_staging(release_id, commit, plan.target)
        smoke.smoke_test(release_id, deployed, commit)


def deploy_to_production(
    release_id: str, request: ReleaseRequest, commit: Commit, plan: Plan, point: RestorePoint, progress: ReleaseProgress
) -> validation.WatchWindow:
    """Migrate, build without domains, check, promote, validate, watch."""
    production.migrate_production(release_id, commit, plan.expanded)
    build = production.build_production(release_id, commit)
    production.check_build(release_id, build, commit)
    promoted_at = production.read_clock()
    production.promote(release_id, build, instead_of=point.serving_deployment_id)

    check_verdicts(progress, validation.validate_database(release_id, commit, (plan.expanded,), point))
    return watch(release_id, request, commit, progress, build.id, promoted_at)


def watch(
    release_id: str,
    request: ReleaseRequest,
    commit: Commit,
    progress: ReleaseProgress,
    deployment_id: str,
    since: datetime,
) -> validation.WatchWindow:
    """Watch the build that serves; a first release has no users yet."""
    expect_users = not progress.is_first_release
    window = validation.WatchWindow(request.watch_seconds, since, deployment_id, commit.sha, expect_users=expect_users)
    check_verdicts(progress, validation.watch_production(release_id, window))
    return window


def contract_production(
    release_id: str,
    commit: Commit,
    target_revision: str,
    point: RestorePoint,
    progress: ReleaseProgress,
    window: validation.WatchWindow,
) -> None:
    """Take away what the new build no longer needs, once it has proven itself, and validate again."""
    progress.contracting = True
    production.contract_production(release_id, commit, target_revision)
    check_verdicts(progress, validation.validate_database(release_id, commit, (target_revision,), point))
    check_verdicts(progress, validation.watch_production(release_id, window))


def check_verdicts(progress: ReleaseProgress, verdicts: tuple[Verdict, ...]) -> None:
    """Keep the verdicts for the report; the worst of them ends the checklist."""
    progress.verdicts += verdicts
    if error := verdict_error(verdicts):
        raise error


@termination.last_act()
def close_and_announce(release_id: str, request: ReleaseRequest, progress: ReleaseProgress, summary: str) -> str:
    """Close a release that ended well, and tell of it; nothing that is told can make it fail.

    Returns:
        The summary, with what could not be told.
    """
    record.stop_if_lost(release_id)
    warnings = progress.survey.warnings if progress.survey else ()
    closing = best_effort.attempt(
        release_id, NOT_CLOSED, lambda: record.close_release(release_id, "succeeded", summary)
    )
    untold = best_effort.notify_slack(
        release_id,
        f"Release of {request.ref} succeeded",
        {"Release": release_id, **{v.check: f"{v.measured} (limit {v.threshold})" for v in progress.verdicts}},
        text="\n".join(text for text in (summary, *warnings, closing) if text),
    )
    unpublished = best_effort.attempt(
        release_id,
        "the report could not be published",
        lambda: report.publish(release_id, summary, progress.verdicts),
    )
    return clauses((summary, closing, untold, unpublished))


def choose_and_run_rollback(
    release_id: str, request: ReleaseRequest, commit: Commit, progress: ReleaseProgress, error: Exception
) -> str:
    """Decide which way back is right, and walk it; where none can be chosen, nothing is moved and a person is told."""
    record.stop_if_lost(release_id)
    try:
        context, path = choose_rollback_path(release_id, request.ref, commit, progress, error)
    except Exception as failure:
        log.exception("the way back could not be chosen")
        return hold_for_decision(release_id, request.ref, error, failure)
    log.error("%s: %s; rollback path: %s", failure_kind(error).value, error, path.value)
    return recover_and_report(context, path, error, request.ref)
