"""Staging deploy: the same revisions and the same build as production will get, on a copy."""

from typing import Final

from deployments.errors import DeploymentError
from deployments.git.repository import Commit
from deployments.ledger import Release
from deployments.settings import Settings
from deployments.vercel.client import Deployment
from migrations.errors import MigrationError
from tasks import builds, catalogue, connections, record, revisions
from tasks.acts import Act
from tasks.errors import StagingFailed
from tasks.record import recorded_step
from tasks.step import step
from tasks.steps import database_guard

# What staging was before it was made a copy of production, where branches hang under it.
BEFORE: Final = "staging-before-"
# How the ledger's row of a reset says what it is.
BY_HAND: Final = "reset of staging by "


@step("reset staging", timeout_s=900)
def reset_staging(release_id: str) -> None:
    """Make staging a fresh copy of production. What was in staging is lost, unless somebody has a branch of it."""
    _make_copy_of_production(release_id, Act.RESET_STAGING, f"{BEFORE}{release_id}")


def reset_by_hand(by: str) -> Release:
    """Make staging a copy of production for a person, whatever stands there: nothing is released.

    A row of the ledger's of its own holds the target meanwhile, so that no release begins over it.

    Args:
        by: who asked.

    Returns:
        That row, closed.

    Raises:
        ReleaseRunning: a release of the target runs, or died and was not closed.
        ServiceError: Neon refused it; staging is as it was.
    """
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        last = next(iter(ledger.releases(target=settings.target, limit=1)), None)
        row = ledger.begin_release(
            target=settings.target,
            ref=last.ref if last else "staging",
            commit_sha=last.commit_sha if last else "",
            target_revision=last.target_revision if last else "head",
            requested_by=f"{BY_HAND}{by}",
            flow_run_id=None,
            lease_s=settings.lease_s,
        )
        with record.lease(row):
            try:
                _make_copy_of_production(row.id, Act.RESET_STAGING, f"{BEFORE}{row.id}")
            except Exception as error:
                ledger.end_release(row.id, "failed", str(error), fence=row.fence)
                raise
            return ledger.end_release(row.id, "succeeded", "staging is a copy of production", fence=row.fence)


def _make_copy_of_production(release_id: str, act: Act, kept_name: str) -> None:
    """Restore staging from production.

    Branches that somebody made of staging need the state before: it is kept under a name for as long as they stand.
    """
    settings = connections.settings()
    client = connections.neon(settings)
    production, staging = connections.production_branch(settings), connections.staging_branch(settings)
    has_children = any(branch.parent_id == staging.id for branch in client.branches())
    kept = {"branch": kept_name} if has_children else {}
    with recorded_step(release_id, act, branch_name=staging.name, **kept):
        client.restore(staging.id, source_branch_id=production.id, preserve_under_name=kept.get("branch"))
        database_guard.write_anew(settings, release_id, staging)
        _record_catalog_of_production(settings)


def _record_catalog_of_production(settings: Settings) -> None:
    """Let staging's catalogue be production's from now on."""
    with connections.ledger(settings) as ledger:
        kept = ledger.recorded_catalog(settings.target, "production")
        if kept is not None:
            ledger.record_catalog(
                settings.target,
                "staging",
                release_id=kept.release_id,
                revision=kept.revision,
                digest=kept.digest,
                catalog_json=kept.catalog_json,
            )


@step("migrate staging", timeout_s=1800)
def migrate_staging(release_id: str, commit: Commit, target_revision: str) -> tuple[str, ...]:
    """Apply the pending revisions to staging.

    Returns:
        The revisions applied, in order.

    Raises:
        StagingFailed: a revision did not go through.
    """
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.staging_branch(settings))
    with recorded_step(release_id, Act.MIGRATE_STAGING, target_revision=target_revision) as entry:
        with catalogue.recording_catalog(settings, release_id, "staging", dsn, connections.history(settings, commit)):
            try:
                done = revisions.apply(settings, release_id, commit, dsn, target_revision)
            except MigrationError as error:
                raise StagingFailed(f"staging: {error}", transient=revisions.is_worth_another_try(error)) from error
        entry.result(revisions.as_json(done))
    return tuple(one.revision for one in done)


@step("deploy staging", timeout_s=1800)
def deploy_staging(release_id: str, commit: Commit) -> Deployment:
    """Build the commit's application as a preview over staging's database.

    Raises:
        StagingFailed: the build did not become ready.
    """
    settings = connections.settings()
    with recorded_step(release_id, Act.DEPLOY_STAGING, commit=commit.sha) as entry:
        try:
            built = builds.build(settings, release_id, commit, environment="staging")
        except DeploymentError as error:
            raise StagingFailed(f"staging: {error}", transient=error.transient) from error
        entry.result({"deployment": built.id, "url": built.url})
    return built


@step("roll back staging", timeout_s=900)
def roll_back_staging(release_id: str) -> None:
    """Bring staging back to what production is; production itself is not touched."""
    _make_copy_of_production(release_id, Act.ROLL_BACK_STAGING, f"{BEFORE}rollback-{release_id}")
