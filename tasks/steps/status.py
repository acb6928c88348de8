"""Status: what stands in each environment, before anything is touched."""

import logging
from collections.abc import Iterable

from deployments.application import endpoints
from deployments.errors import DeploymentError
from deployments.git.repository import Commit
from deployments.neon.client import Branch
from deployments.settings import Settings
from deployments.vercel.client import Deployment
from migrations.database.session import reader
from migrations.drift.comparison import DriftFinding, find_drift
from migrations.errors import MigrationError
from migrations.history.revisions import History, current_revisions, history_state
from tasks import best_effort, builds, catalogue, connections, served_build
from tasks.errors import NotReady
from tasks.record import STATUS, note
from tasks.release_history import SERVES, ReleaseHistory
from tasks.step import step
from tasks.steps.snapshot import snapshots_to_delete
from tasks.steps.unrecorded_grants import unrecorded_grants
from tasks.values import EnvironmentStatus, RestorePoint, Survey

log = logging.getLogger(__name__)


@step("resolve ref", timeout_s=120)
def resolve_ref(ref: str) -> Commit:
    """Find the commit that a ref names.

    Raises:
        RefNotFound: no branch, tag or commit of that name.
        RepositoryUnreachable: the repository cannot be read.
    """
    return connections.repository(connections.settings()).resolve(ref)


@step("status", timeout_s=300)
def survey(commit: Commit, target_revision: str, *, reset_staging: bool) -> Survey:
    """Look at every environment and refuse what would not end well.

    Args:
        commit: the commit to release.
        target_revision: revision to migrate to, or `head`.
        reset_staging: whether staging will be replaced before it is used, so that its state does not matter.

    Raises:
        NotReady: drift, edited or unknown revisions, no room for a branch, a target behind production, a connection
            string that leads elsewhere, a variable of Vercel's that would carry one to another environment,
            or an address that does not serve what Vercel says.
        UnknownRevision: the commit has no such revision.
    """
    settings = connections.settings()
    history = connections.history(settings, commit)
    target = history.resolve(target_revision)
    production = read_environment(
        settings, settings.neon_production_branch, "production", history, target, takes_over=True
    )
    staging = read_environment(settings, settings.neon_staging_branch, "staging", history, target, takes_over=True)
    serving = connections.vercel(settings).production_deployment()
    findings = list(_blocking_findings(production))
    if not reset_staging:
        findings += [f"{text} (or start the release with reset_staging)" for text in _blocking_findings(staging)]
    if target in history.with_ancestors(production.revisions) and production.revisions != (target,):
        findings.append(f"production stands at {', '.join(production.revisions)}, beyond the target {target}")
    if production.branch_id == staging.branch_id:
        findings.append("NEON_PRODUCTION_BRANCH and NEON_STAGING_BRANCH name one branch")
    findings += builds.rejected_application_dsns(settings, reset_staging=reset_staging)
    findings += builds.shared_variables(connections.vercel(settings), commit.ref)
    served = serving is not None and serving.commit_sha == commit.sha
    # What serves already is at most validated again: that needs no branch.
    findings += () if served and not production.pending else _missing_branch_room(settings)
    moved = find_moved_by_hand(settings, serving)
    if (told_apart := served_build.disagreement(settings, serving)) is not None:
        findings.append(str(told_apart))
    health = endpoints.health(connections.production_url(settings), bypass=None) if serving else None
    if health is not None and health.maintenance:
        findings.append("production is in maintenance mode: finish what it is for, then switch it off")
    if findings:
        raise NotReady.of("release", *findings)
    return Survey(
        production=production,
        staging=staging,
        target_revision=target,
        serving_deployment_id=serving.id if serving else None,
        serving_commit=serving.commit_sha if serving else None,
        warnings=(
            *((f"production is not healthy now: {health.detail}",) if health and not health.healthy else ()),
            *(f"production: {finding}" for finding in (*production.drift, *moved) if not finding.blocks_release),
            *(
                f"{environment.name}: {name} was changed by hand, and a revision of this release takes it over"
                for environment in (production, staging)
                for name in environment.changes_taken_over
            ),
            *(
                f"{environment.name}: grant {name} was not recorded, though a revision made it, and is from now on"
                for environment in (production, staging)
                for name in environment.unrecorded_grants
            ),
        ),
    )


def tell_before_start(release_id: str, ref: str, survey: Survey) -> None:
    """Write down what stands; what somebody should know of it is told before anything moves."""
    note(
        release_id,
        STATUS,
        production=list(survey.production.revisions),
        staging=list(survey.staging.revisions),
        deployment_found=survey.serving_deployment_id,
        warnings=list(survey.warnings),
    )
    if survey.warnings:
        best_effort.notify_slack(
            release_id,
            f"Release of {ref} begins over something to know",
            {"Release": release_id},
            text="\n".join(survey.warnings),
        )


def find_moved_by_hand(settings: Settings, serving: Deployment | None) -> tuple[DriftFinding, ...]:
    """What somebody else has promoted or rolled back since the pipeline's newest act; nothing where that is unknown.

    Args:
        serving: the deployment that production's address serves; None where it serves none.
    """
    with connections.ledger(settings) as ledger:
        ours = ReleaseHistory.read(ledger, settings.target).may_serve()
    if ours is None or (serving is not None and serving.id in ours):
        return ()
    what = f"{serving.id} (commit {serving.commit_sha[:12]})" if serving else "no deployment"
    return (
        DriftFinding(
            "serving",
            serving.id if serving else "nothing",
            f"production serves {what}, and not {' or '.join(sorted(ours))}, which the newest release or rollback left "
            "there: somebody else has promoted or rolled back",
            "release the commit that shall serve (`pilotage release start REF`); it goes on from what serves now, and "
            "its own rollback leads back there",
        ),
    )


def serving_deployment_id() -> str | None:
    """The deployment that production's address serves now; None before the first."""
    serving = connections.vercel(connections.settings()).production_deployment()
    return serving.id if serving else None


def record_serving_build(release_id: str) -> None:
    """Write down which build serves at the end of a release: another one later was let serve by somebody else."""

    def keep() -> None:
        note(release_id, SERVES, deployment=serving_deployment_id())

    best_effort.attempt(release_id, "which build serves could not be told or kept, and another may be told later", keep)


def read_applied_since(point: RestorePoint, commit: Commit) -> tuple[str, ...]:
    """Revisions that stand in production and did not at the restore point, oldest first.

    Where the repository cannot be read, the heads among them: production itself tells whether there is any.

    Raises:
        DeploymentError: Neon does not say how production is reached.
        MigrationError: production is away, or its revisions make no sense.
    """
    settings = connections.settings()
    with reader(connections.owner_dsn(settings, connections.production_branch(settings))) as connection:
        try:
            history = connections.history(settings, commit)
        except DeploymentError as error:
            log.warning("the revisions of %s cannot be read, and production alone is asked: %s", commit.sha, error)
            return tuple(one for one in current_revisions(connection) if one not in point.revisions)
        current = history_state(connection, history).current
    before = set(history.with_ancestors(point.revisions))
    return tuple(revision for revision in history.with_ancestors(current) if revision not in before)


def applied_since(point: RestorePoint, commit: Commit) -> tuple[str, ...] | None:
    """The same; None where it cannot be told."""
    try:
        return read_applied_since(point, commit)
    except (DeploymentError, MigrationError):
        log.exception("the revisions of production cannot be read")
        return None


def read_environment(
    settings: Settings, branch_name: str, name: str, history: History, target: str, *, takes_over: bool = False
) -> EnvironmentStatus:
    """Read the state of one environment against a history.

    Args:
        branch_name: Neon branch of the environment.
        name: `production` or `staging`.
        history: revisions to hold it against.
        target: revision up to which pending ones are counted.
        takes_over: whether these are about to be released: a change by hand that they promise too is no drift then.
    """
    branch = connections.neon(settings).branch(branch_name)
    dsn = connections.owner_dsn(settings, branch)
    with reader(dsn) as connection:
        state = history_state(connection, history, target=target)
        live = catalogue.LiveSchema.read(connection, history)
    must = catalogue.expected_for(settings, name, history, live)
    known = () if must.grants else ("grant",)
    expected = must.catalog and must.catalog.without(*known)
    over = catalogue.changes_taken_over(settings, history, expected, live, target) if takes_over and expected else ()
    unrecorded = unrecorded_grants(settings, history, must, live)
    drift = find_drift(
        live.catalog.without(*known),
        expected and expected.with_changes((*over, *unrecorded) if takes_over else over),
        state,
        unknown=(must.why, must.advice) if must.why else None,
        unrecorded=unrecorded,
    )
    return EnvironmentStatus(
        name=name,
        branch_id=branch.id,
        revisions=state.current,
        pending=tuple(revision.id for revision in state.pending or ()),
        drift=tuple(finding for finding in drift if finding.kind != "pending"),
        changes_taken_over=tuple(f"{one.kind} {one.name}" for one in over),
        unrecorded_grants=tuple(one.name for one in unrecorded),
    )


def _blocking_findings(environment: EnvironmentStatus) -> list[str]:
    return [f"{environment.name}: {finding}" for finding in environment.drift if finding.blocks_release]


def _missing_branch_room(settings: Settings) -> list[str]:
    branches = connections.neon(settings).branches()
    roots = [branch for branch in branches if branch.parent_id is None]
    found: list[str] = []
    if snapshots_to_delete(settings, branches) is None:
        found.append(
            f"Neon has {len(branches)} branches of {settings.neon_branch_limit}, and a release with its way back needs "
            f"2: delete some with `pilotage branch delete` ({_deletable_branches(settings, branches)})"
        )
    if len(roots) + 1 > settings.neon_root_branch_limit:
        found.append(
            f"Neon has {len(roots)} root branches of {settings.neon_root_branch_limit}, and a restore leaves one more: "
            "delete a kept state that is no longer needed with `pilotage branch delete` "
            f"({_deletable_branches(settings, roots)})"
        )
    return found


def _deletable_branches(settings: Settings, branches: Iterable[Branch]) -> str:
    """The branches that somebody may delete: neither environment's, nor protected."""
    stay = {settings.neon_production_branch, settings.neon_staging_branch}
    return ", ".join(branch.name for branch in branches if branch.name not in stay and not branch.protected) or "none"
