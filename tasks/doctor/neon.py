"""Neon: the key, the project and its plan, the branches and their computes."""

from collections.abc import Iterator, Sequence

from deployments.neon.client import Branch, NeonClient, NeonProject
from deployments.neon.inspection import Plan
from deployments.settings import Settings
from tasks.branches.room import SNAPSHOT
from tasks.doctor.finding import Finding, bad, cannot_tell, good

_LEAST_HISTORY_S = 3600
_RIGHTS = "a key of an organization that is limited to this project is enough, and can do no harm elsewhere"
_METHODS = {"api_key_user": "a person's key", "api_key_org": "an organization's key"}


def neon_findings(settings: Settings, client: NeonClient) -> Iterator[Finding]:
    """What can be told from Neon's API.

    Raises:
        ServiceError: Neon cannot be asked, or says no.
    """
    project = client.project()
    method = client.inspection.key_holder().auth_method
    yield good("Neon key", f"{_METHODS.get(method, method)}, and it opens the project", _RIGHTS)
    plan = client.inspection.plan()
    yield from _project(project, plan)
    branches = client.branches()
    yield from _branches(settings, branches)
    yield from _protection(settings, branches, plan)
    yield _room(settings, branches, plan)


def compute_findings(settings: Settings, client: NeonClient) -> Iterator[Finding]:
    """Whether the environments' branches can be connected to.

    Raises:
        ServiceError: Neon cannot be asked, or says no.
    """
    for branch in client.branches():
        if branch.name not in {settings.neon_production_branch, settings.neon_staging_branch}:
            continue
        line = f"compute of {branch.name}"
        writable = [one for one in client.endpoints(branch.id) if one.type == "read_write"]
        if not writable:
            yield bad(line, "the branch has none that writes", "add a primary compute to it in Neon's console")
        elif writable[0].disabled:
            yield bad(line, "it is disabled", "enable it in Neon's console")
        else:
            yield good(line, f"{writable[0].id} takes connections, or wakes for them")


def _project(project: NeonProject, plan: Plan | None) -> Iterator[Finding]:
    on = f", on the plan {plan.subscription_type}" if plan is not None else ""
    yield good("Neon project", f"{project.name}, PostgreSQL {project.pg_version}{on}")
    hours = project.history_retention_seconds / 3600
    if project.history_retention_seconds < _LEAST_HISTORY_S:
        yield bad(
            "Neon history window",
            f"a branch can be restored {hours:g} h back: no further than a release may take",
            "set the project's history window to six hours or more in its settings",
        )
    else:
        yield good("Neon history window", f"production can be restored up to {hours:g} h back")


def _branches(settings: Settings, branches: Sequence[Branch]) -> Iterator[Finding]:
    named = {branch.name: branch for branch in branches}
    known = ", ".join(sorted(named))
    wanted = (
        ("production's branch", "NEON_PRODUCTION_BRANCH", settings.neon_production_branch),
        ("staging's branch", "NEON_STAGING_BRANCH", settings.neon_staging_branch),
    )
    for line, variable, name in wanted:
        if variable == "NEON_STAGING_BRANCH" and name == settings.neon_production_branch:
            yield bad(line, "it is production's", f"set {variable} to another branch")
        elif name not in named:
            yield bad(line, f"there is no branch {name}; there are: {known or 'none'}", f"make it, or set {variable}")
        elif named[name].current_state not in {"ready", "archived"}:
            yield bad(line, f"{name} is {named[name].current_state}", "wait until it is ready, or ask Neon")
        elif named[name].expires_at is not None:
            yield bad(line, f"{name} expires at {named[name].expires_at:%Y-%m-%d %H:%M} UTC", "take its expiry off")
        else:
            yield good(line, f"{name} ({named[name].id})")


def _protection(settings: Settings, branches: Sequence[Branch], plan: Plan | None) -> Iterator[Finding]:
    production = next((one for one in branches if one.name == settings.neon_production_branch), None)
    if production is None:
        return
    line = "protection of production"
    if production.protected:
        yield good(line, "the branch is protected")
    elif plan is not None and plan.is_free:
        yield good(line, "the branch is not protected, and this plan has no slot to protect it with")
    else:
        advice = "protect it where the plan has a slot: a rollback lifts it for a restore, and gives it back"
        yield good(line, "the branch is not protected", advice)


def _room(settings: Settings, branches: Sequence[Branch], plan: Plan | None) -> Finding:
    line = "room for branches"
    roots = sum(one.parent_id is None for one in branches)
    of_roots = f"{roots} of {settings.neon_root_branch_limit} roots"
    has = f"{len(branches)} of {settings.neon_branch_limit} branches, {of_roots}"
    if plan is not None and plan.is_free and settings.neon_branch_limit > plan.branches_limit:
        return bad(
            line,
            f"PILOTAGE_NEON_BRANCH_LIMIT is {settings.neon_branch_limit}, and the plan has {plan.branches_limit}",
            f"set it to {plan.branches_limit}",
        )
    if len(branches) + 2 > settings.neon_branch_limit and any(one.name.startswith(SNAPSHOT) for one in branches):
        return cannot_tell(line, f"{has}: a release looks which snapshots of earlier ones may give way")
    if len(branches) + 2 > settings.neon_branch_limit:
        return bad(
            line,
            f"{has}: a release with its way back needs 2 more",
            "delete some with `pilotage branch delete`, or set PILOTAGE_NEON_BRANCH_LIMIT where the plan has more",
        )
    if roots + 1 > settings.neon_root_branch_limit:
        return bad(
            line,
            f"{has}: a restore leaves one root more",
            "delete a kept state with `pilotage branch delete`, or set PILOTAGE_NEON_ROOT_BRANCH_LIMIT where the plan"
            " has more",
        )
    return good(line, has)
