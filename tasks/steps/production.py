"""Production deploy: seal the restore point, migrate, build without domains, check, promote."""

from datetime import datetime

from deployments.application import endpoints
from deployments.errors import DeploymentError
from deployments.git.repository import Commit
from deployments.vercel.client import Deployment
from migrations.catalog.contents import read_catalog
from migrations.checks.integrity import run_checks
from migrations.checks.users import clock
from migrations.database.session import reader
from migrations.errors import MigrationError
from migrations.restore.restore_point import seal
from tasks import builds, catalogue, connections, revisions, served_build
from tasks.acts import Act
from tasks.errors import ApplicationFailed, ContractFailed, MigrationFailed, MovedMeanwhile
from tasks.record import recorded_step, restore_point, restore_point_json
from tasks.step import step
from tasks.values import RestorePoint, Survey


@step("seal restore point", timeout_s=600)
def seal_restore_point(release_id: str, snapshot_branch_id: str, survey: Survey) -> RestorePoint:
    """Fix the point in production's history that a rollback returns to, exact to the commit.

    Returns:
        The restore point, which the ledger keeps too: a rollback by hand reads it there.
    """
    settings = connections.settings()
    production = connections.production_branch(settings)
    dsn = connections.owner_dsn(settings, production)
    with recorded_step(release_id, Act.RESTORE_POINT) as entry:
        with reader(dsn) as connection:
            catalog = read_catalog(connection)
        baseline = run_checks(dsn, promised=catalog)
        point = RestorePoint(
            production_branch_id=production.id,
            snapshot_branch_id=snapshot_branch_id,
            seal=seal(dsn),
            catalog_digest=catalog.digest,
            catalog_json=catalog.to_json(),
            revisions=survey.production.revisions,
            serving_deployment_id=survey.serving_deployment_id,
            baseline=baseline,
            target_revision=survey.target_revision,
        )
        entry.result(restore_point_json(point))
    return point


@step("migrate production", timeout_s=3600)
def migrate_production(release_id: str, commit: Commit, target_revision: str) -> tuple[str, ...]:
    """Apply the pending revisions to production.

    Returns:
        The revisions applied, in order.

    Raises:
        MigrationFailed: a revision did not go through; those before it stand.
    """
    settings, point = connections.settings(), restore_point(release_id)
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with recorded_step(release_id, Act.MIGRATE_PRODUCTION, target_revision=target_revision) as entry:
        with catalogue.recording_catalog(
            settings, release_id, "production", dsn, connections.history(settings, commit)
        ):
            try:
                done = revisions.apply(settings, release_id, commit, dsn, target_revision, point=point)
            except MigrationError as error:
                raise MigrationFailed(
                    str(error),
                    transient=revisions.is_worth_another_try(error),
                    in_the_way=error.transient,
                ) from error
        entry.result(revisions.as_json(done))
    return tuple(one.revision for one in done)


@step("contract production", timeout_s=3600)
def contract_production(release_id: str, commit: Commit, target_revision: str) -> tuple[str, ...]:
    """Apply the contract revisions, which take away what only the previous build needed.

    Returns:
        The revisions applied, in order.

    Raises:
        ContractFailed: a revision did not go through; those before it stand, and the new build serves.
    """
    settings, point = connections.settings(), restore_point(release_id)
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with recorded_step(release_id, Act.CONTRACT_PRODUCTION, target_revision=target_revision) as entry:
        with catalogue.recording_catalog(
            settings, release_id, "production", dsn, connections.history(settings, commit)
        ):
            try:
                done = revisions.apply(settings, release_id, commit, dsn, target_revision, point=point)
            except MigrationError as error:
                raise ContractFailed(str(error), transient=revisions.is_worth_another_try(error)) from error
        entry.result(revisions.as_json(done))
    return tuple(one.revision for one in done)


@step("build production", timeout_s=1800)
def build_production(release_id: str, commit: Commit) -> Deployment:
    """Build the commit's application for production, without its domains.

    Raises:
        ApplicationFailed: the build did not become ready.
    """
    settings = connections.settings()
    with recorded_step(release_id, Act.BUILD_PRODUCTION, commit=commit.sha) as entry:
        try:
            built = builds.build(settings, release_id, commit, environment="production")
        except DeploymentError as error:
            raise ApplicationFailed(f"build: {error}", transient=error.transient) from error
        entry.result({"deployment": built.id, "url": built.url})
    return built


@step("check build", timeout_s=300)
def check_build(release_id: str, deployment: Deployment, commit: Commit) -> None:
    """Read through the build over production's database, before any user reaches it.

    Raises:
        ApplicationFailed: a probe was not answered as it must be.
    """
    settings = connections.settings()
    with recorded_step(release_id, Act.CHECK_BUILD, deployment=deployment.id) as entry:
        probes = endpoints.probe_reads(
            deployment.url, bypass=settings.vercel_automation_bypass_secret, commit_sha=commit.sha
        )
        failed = [f"{probe.method} {probe.path}: {probe.detail}" for probe in probes if not probe.ok]
        if failed:
            raise ApplicationFailed(f"check of the build {deployment.url}: {'; '.join(failed)}")
        entry.result({"probes": len(probes)})


@step("read production's clock", timeout_s=60)
def read_clock() -> datetime:
    """What production's database calls now: a worker's clock may be another, and users are counted by this one."""
    settings = connections.settings()
    with reader(connections.owner_dsn(settings, connections.production_branch(settings))) as connection:
        return clock(connection)


@step("promote", timeout_s=600)
def promote(release_id: str, deployment: Deployment, *, instead_of: str | None) -> None:
    """Move production's address to the new build.

    Args:
        deployment: the new build.
        instead_of: the deployment that served when the restore point was sealed; None before the first.

    Raises:
        ApplicationFailed: Vercel did not move it, or says so while the address is answered by another build.
        MovedMeanwhile: another deployment serves now, or another than Vercel says; the address was not moved.
    """
    settings = connections.settings()
    client = connections.vercel(settings)
    with recorded_step(release_id, Act.PROMOTE, deployment=deployment.id, instead_of=instead_of):
        serving = client.production_deployment()
        if serving is not None and serving.id not in {deployment.id, instead_of}:
            raise MovedMeanwhile(
                f"production serves {serving.id} (commit {serving.commit_sha[:12]}) now, and served "
                f"{instead_of or 'nothing'} when the restore point was sealed: somebody else has moved it, "
                f"and {deployment.id} was not promoted over it"
            )
        if (why := served_build.disagreement(settings, serving)) is not None:
            raise MovedMeanwhile(f"{why}. {deployment.id} was not promoted")
        try:
            client.promote(deployment.id)
            served_build.refuse_disagreement(settings, deployment.id)
        except DeploymentError as error:
            raise ApplicationFailed(f"promote: {error}", transient=error.transient) from error
