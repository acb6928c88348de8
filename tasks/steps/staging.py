"""Staging deploy: the same revisions and the same build as production will get, on a copy."""

from deployments.errors import DeploymentError
from deployments.git.repository import Commit
from deployments.settings import Settings
from deployments.vercel.client import Deployment
from migrations.errors import MigrationError
from tasks import builds, catalogue, connections, revisions
from tasks.acts import Act
from tasks.errors import StagingFailed
from tasks.record import recorded_step
from tasks.step import step
from tasks.steps import database_guard


@step("reset staging", timeout_s=900)
def reset_staging(release_id: str) -> None:
    """Make staging a fresh copy of production. What was in staging is lost."""
    settings = connections.settings()
    with recorded_step(release_id, Act.RESET_STAGING, branch_name=settings.neon_staging_branch):
        _reset(settings, release_id)


def _reset(settings: Settings, release_id: str) -> None:
    production = connections.production_branch(settings)
    staging = connections.staging_branch(settings)
    connections.neon(settings).restore(staging.id, source_branch_id=production.id)
    database_guard.write_anew(settings, release_id, staging)
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
                raise StagingFailed(f"staging: {error}", transient=error.transient) from error
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
    settings = connections.settings()
    with recorded_step(release_id, Act.ROLL_BACK_STAGING, branch_name=settings.neon_staging_branch):
        _reset(settings, release_id)
