"""Plan: what the release will do to production, as a value, before anything is touched."""

from deployments.repository import Commit
from migrations.errors import ContractBelowExpand
from migrations.plan import Plan, make_plan
from tasks import connections
from tasks.errors import NotReady
from tasks.record import recorded
from tasks.step import step
from tasks.values import Survey


@step("plan", timeout_s=600)
def plan_release(release_id: str, commit: Commit, survey: Survey) -> Plan:
    """Plan the way from where production stands to the target, recorded beside staging.

    Raises:
        NotReady: the plan would contract before it expands.
    """
    given = connections.settings()
    history = connections.history(given, commit)
    server = connections.owner_dsn(given, connections.staging_branch(given))
    with recorded(release_id, "plan", target_revision=survey.target_revision) as entry:
        try:
            plan = make_plan(
                server,
                history,
                current=survey.production.revisions,
                target=survey.target_revision,
                commit=commit.sha,
            )
        except ContractBelowExpand as error:
            raise NotReady(f"the release cannot start: {error}. Nothing was touched.") from error
        entry.result(
            {
                "digest": plan.digest,
                "expand": [one.id for one in plan.expand],
                "contract": [one.id for one in plan.contract],
                "source": plan.source,
                "note": plan.note,
            }
        )
    return plan
