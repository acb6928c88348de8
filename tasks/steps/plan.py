"""Plan: what the release will do to production, as a value, before anything is touched."""

from collections.abc import Sequence

from prefect.artifacts import create_markdown_artifact

from deployments.git.repository import Commit
from deployments.redaction.redactor import redacted
from migrations.database.session import reader
from migrations.disclosure.sentences import clauses
from migrations.errors import ContractBelowExpand
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import current_revisions
from migrations.lint.findings import Finding
from migrations.plan.lint import lint_plan, unwaived
from migrations.plan.planned_revisions import Plan, make_plan
from migrations.plan.report import render
from tasks import best_effort, connections
from tasks.acts import Act
from tasks.errors import NotReady
from tasks.record import recorded_step
from tasks.step import step
from tasks.values import Survey


@step("plan", timeout_s=600)
def plan_release(release_id: str, commit: Commit, survey: Survey) -> Plan:
    """Plan the way from where production stands to the target, recorded beside staging.

    Raises:
        NotReady: the plan would contract before it expands, or has a hazard that no waiver names.
    """
    settings = connections.settings()
    history = connections.history(settings, commit)
    server = connections.owner_dsn(settings, connections.staging_branch(settings))
    with recorded_step(release_id, Act.PLAN, target_revision=survey.target_revision) as entry:
        try:
            plan = make_plan(
                server,
                history,
                current=survey.production.revisions,
                target=survey.target_revision,
                commit=commit.sha,
            )
        except ContractBelowExpand as error:
            raise NotReady.of("release", str(error)) from error
        findings = lint_plan(plan, history, connections.owner_dsn(settings, connections.production_branch(settings)))
        hazards = [f"{one.revision}: {one.hazard}: {one.message}" for one in unwaived(findings)]
        entry.result(
            {
                "digest": plan.digest,
                "expanded": plan.expanded,
                "target": plan.target,
                "expand": [one.id for one in plan.expand],
                "contract": [one.id for one in plan.contract],
                "source": plan.source,
                "note": plan.note,
                "hazards": hazards,
                "waived": [f"{one.revision}: {one.hazard}" for one in findings if one.waived_by is not None],
            }
        )
        if hazards:
            raise NotReady.of("release", f"hazards in its plan: {clauses(hazards)}")
    _show(release_id, plan, findings, f"Plan of release {release_id}")
    return plan


@step("plan", timeout_s=600)
def plan_rehearsal(commit: Commit, target_revision: str) -> Plan:
    """Plan the way from where production stands to a revision of a commit, without a release.

    Raises:
        NotReady: the plan would contract before it expands.
    """
    settings = connections.settings()
    production = connections.owner_dsn(settings, connections.production_branch(settings))
    history = with_version_table(production, connections.history(settings, commit))
    with reader(production) as connection:
        current = current_revisions(connection, history.version_table)
    server = connections.owner_dsn(settings, connections.staging_branch(settings))
    try:
        plan = make_plan(server, history, current=current, target=target_revision, commit=commit.sha)
    except ContractBelowExpand as error:
        raise NotReady.of("rehearsal", str(error)) from error
    findings = lint_plan(plan, history, production)
    _show(None, plan, findings, f"Plan of {commit.ref}")
    return plan


def _show(release_id: str | None, plan: Plan, findings: Sequence[Finding], description: str) -> None:
    """Put the plan into Prefect's UI, where there is one to look at."""
    best_effort.attempt(
        release_id,
        "the plan could not be shown in Prefect",
        lambda: create_markdown_artifact(redacted(render(plan, findings)), key="plan", description=description),
    )
