"""Rehearsal: what a ref would do to production, tried on a branch of it, without a release."""

from prefect import State, flow
from prefect.states import Completed

from migrations.disclosure.sentences import clauses
from tasks.errors import RehearsalFailed
from tasks.process import broken_pipes
from tasks.step import without_secrets
from tasks.steps import plan as planning
from tasks.steps import rehearsal, status


@flow(name="rehearse", flow_run_name="rehearse {ref}")
@without_secrets
def rehearse(ref: str, target_revision: str = "head") -> State[str]:
    """Try a ref's plan on a fresh branch of production, which is deleted afterwards, and keep the evidence.

    Args:
        ref: Branch, tag or commit whose revisions are tried.
        target_revision: The revision to go up to; `head` is the newest of the commit.

    Raises:
        RehearsalFailed: a release of it would stop; the run is red, and its artifacts say why.
    """
    broken_pipes.survive_broken_pipes()
    commit = status.resolve_ref(ref)
    plan = planning.plan_rehearsal(commit, target_revision)
    if not plan.revisions:
        summary = f"nothing is pending: production stands at {', '.join(plan.current) or 'no revision'}"
        return Completed(message=summary, data=summary)
    tried = rehearsal.rehearse_plan(commit, plan)
    if tried.problems:
        raise RehearsalFailed(f"a release of {ref} would stop: {clauses(tried.problems)}")
    return Completed(message=tried.summary, data=tried.summary)
