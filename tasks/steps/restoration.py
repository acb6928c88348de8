"""Restoration: the ways back, each walked step by step and each written down before and after."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.errors import DeploymentError, ServiceRefused
from deployments.git.repository import Commit
from deployments.ledger import Step, StepEvent
from deployments.neon.client import Branch, NeonClient
from deployments.settings import Settings
from migrations.apply.migrate import downgrade
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.session import reader
from migrations.errors import MigrationError
from migrations.restore.receipt_of_writes import Receipt, receipt
from migrations.restore.reversal import written_to_additions
from tasks import best_effort, connections, protection, served_build
from tasks.acts import Act
from tasks.branches import room
from tasks.errors import RollbackFailed
from tasks.fencing import fence_of, statement_fence
from tasks.record import note, recorded_step
from tasks.release_history import SERVES
from tasks.step import step
from tasks.steps import database_guard
from tasks.values import Restoration, RestorePoint

log = logging.getLogger(__name__)

# As far back as a restore to the newest release's point can lie.
ROWS = 50
# The ledger's clock and Neon's are not one.
_CLOCKS = timedelta(minutes=1)


def kept_branch_name(undone_id: str) -> str:
    """The name of the branch that keeps production as it was before the restore to a release's point.

    A release has one point: whoever asks for the restore, and however often, it leaves one branch.
    """
    return f"{room.KEPT}{undone_id}"


@step("verify that nothing changed", timeout_s=300)
def verify_unchanged(release_id: str, point: RestorePoint) -> None:
    """Compare production's catalogue with the one of the restore point.

    Raises:
        RollbackFailed: something differs; it is named.
    """
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with recorded_step(release_id, Act.VERIFY_UNCHANGED) as entry:
        with reader(dsn) as connection:
            live = read_catalog(connection)
        found = difference(Catalog.from_json(point.catalog_json), live)
        if found:
            raise RollbackFailed(
                f"the failed revision left something behind in production: {'; '.join(str(one) for one in found[:10])}"
            )
        entry.result({"digest": live.digest})


def rows_written_since(point: RestorePoint) -> tuple[str, ...] | None:
    """What users have written to what the release added; None where that could not be told."""
    try:
        settings = connections.settings()
        with reader(connections.owner_dsn(settings, connections.production_branch(settings))) as connection:
            return written_to_additions(connection, Catalog.from_json(point.catalog_json))
    except (DeploymentError, MigrationError):
        log.exception("what was written since the restore point cannot be told")
        return None


@step("take back revisions", timeout_s=1800)
def downgrade_revisions(release_id: str, commit: Commit, point: RestorePoint) -> None:
    """Run the downgrades that the rehearsal proved lossless, down to where production stood.

    Raises:
        RollbackFailed: something was written meanwhile to what they drop, or one of them failed.
    """
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with recorded_step(release_id, Act.TAKE_BACK_REVISIONS, revisions=list(point.revisions)) as entry:
        written = rows_written_since(point)
        if written is None or written:
            raise RollbackFailed(f"the revisions cannot be taken back: {'; '.join(written or ('cannot tell',))}")
        target = point.revisions[0] if point.revisions else "base"
        try:
            gone = downgrade(
                dsn,
                connections.history(settings, commit),
                target,
                release_id=release_id,
                lock_timeout_ms=settings.lock_timeout_ms,
                budget_s=settings.migration_budget_s,
                fence=statement_fence(),
            )
        except MigrationError as error:
            raise RollbackFailed(f"a revision could not be taken back: {error}") from error
        entry.result({"taken_back": [one.revision for one in gone]})


@step("roll back application", timeout_s=600)
def roll_back_application(release_id: str, deployment_id: str) -> bool:
    """Let production's address serve the previous deployment again.

    A promotion that is still under way is waited out first: it would move the address after this rollback is over.

    Args:
        deployment_id: the deployment that served before the release.

    Returns:
        Whether anything had to be moved.

    Raises:
        PromotionFailed: it did not move, an earlier move does not come to an end, or Vercel says that it serves the
            deployment while it is answered by another build.
    """
    settings = connections.settings()
    client = connections.vercel(settings)
    project = client.project()
    serving = project.production_deployment_id
    if serving == deployment_id and not project.moving:
        served_build.refuse_disagreement(settings, deployment_id)
        note(release_id, SERVES, deployment=deployment_id)
        return False
    with recorded_step(release_id, Act.ROLL_BACK_APPLICATION, deployment=deployment_id, instead_of=serving):
        client.rollback(deployment_id)
        served_build.refuse_disagreement(settings, deployment_id)
    return True


@step("find restore", timeout_s=600)
def find_restore(undone_id: str, point: RestorePoint) -> Restoration | None:
    """The restore to a release's point that was done before, whoever asked for it; None where none was.

    It is known by the branch that it left, and by the ledger where somebody has deleted that since.

    Args:
        undone_id: the release that is undone; its restore point is the one to go back to.
        point: that point.

    Raises:
        BranchNameTaken: a branch of the kept name exists, and no restore made it.
        OperationFailed: Neon is at work for longer than is waited for, so that it cannot be told yet.
    """
    settings = connections.settings()
    name = kept_branch_name(undone_id)
    kept = connections.neon(settings).kept_by_restore(point.production_branch_id, name)
    if kept is not None:
        return Restoration(name, kept.id, point.seal.lsn, moment_of_restore(settings, kept), before=True)
    if (entry := _recorded_restore(settings, name)) is not None:
        return Restoration(name, str(entry.details.get("branch_id")), point.seal.lsn, entry.at, before=True)
    return None


def moment_of_restore(settings: Settings, kept: Branch) -> datetime:
    """When the restore was done that left a branch.

    Neon's documents do not say that a kept branch is as old as the restore: where the ledger knows better, it is told.
    """
    asked = _recorded_restore(settings, kept.name, "begun", oldest=True)
    if asked is None or kept.created_at >= asked.at - _CLOCKS:
        return kept.created_at
    log.warning(
        "Neon says that %s, which keeps what production was before its restore, is from %s, but the restore was asked"
        " for at %s: the ledger's time is taken. Please report this",
        kept.name,
        kept.created_at.isoformat(),
        asked.at.isoformat(),
    )
    return asked.at


def _recorded_restore(
    settings: Settings, kept_branch: str, event: StepEvent = "done", *, oldest: bool = False
) -> Step | None:
    with connections.ledger(settings) as ledger:
        found = [
            entry
            for row in ledger.releases(target=settings.target, limit=ROWS)
            for entry in ledger.steps(row.id)
            if entry.step == Act.RESTORE and entry.event == event and entry.details.get("branch") == kept_branch
        ]
    return min(found, key=lambda one: one.at) if oldest and found else next(iter(found), None)


def record_found_restore(release_id: str, found: Restoration) -> None:
    """Write down that a restore was done whose process did not live to do so; what is written already stays."""
    settings = connections.settings()
    if _recorded_restore(settings, found.kept_branch) is not None:
        return
    with connections.ledger(settings) as ledger:
        what = {"branch": found.kept_branch, "branch_id": found.kept_branch_id, "lsn": found.lsn, "found": True}
        ledger.finish_step(release_id, Act.RESTORE.value, what)


@step("look before restore", timeout_s=300)
def refuse_unrestorable(undone_id: str, point: RestorePoint) -> None:
    """Find out, before anything is changed, whether all is there that a restore needs.

    Raises:
        RollbackFailed: production is not the branch that was sealed.
        NoRoom: there is no room for its state before.
        ServiceRefused: the build to go back to is gone.
    """
    settings = connections.settings()
    client = connections.neon(settings)
    production = client.branch(settings.neon_production_branch)
    if production.id != point.production_branch_id:
        raise RollbackFailed(
            f"production's branch {production.name} is {production.id} now, "
            f"but {point.production_branch_id} was sealed: restore by hand"
        )
    if point.serving_deployment_id is not None:
        connections.vercel(settings).deployment(point.serving_deployment_id)
    if (missing := room.missing_room(settings, undone_id, client.branches(), production)) is not None:
        raise missing


@step("restore production", timeout_s=1800)
def restore_production(release_id: str, undone_id: str, point: RestorePoint) -> Restoration:
    """Bring production back to the sealed point of its own history, under its own name and address.

    The state before the restore stays as a branch, named after the release that is undone: so a second try finds it. A
    protected branch refuses a restore: the protection is lifted, and given back by `protection.restore_protection`.

    Args:
        release_id: the ledger's row that the act is written to.
        undone_id: the release that sealed the point.
        point: where to.

    Raises:
        LeaseLost: the release was closed meanwhile; nothing was restored.
        BranchNameTaken: a branch of the kept name exists, and no restore made it.
        NoRoom: the plan has less room than the settings say.
    """
    settings = connections.settings()
    client = connections.neon(settings)
    production = client.branch_by_id(point.production_branch_id)
    kept = kept_branch_name(undone_id)
    protection.lift_protection(release_id, client, production)
    with recorded_step(release_id, Act.RESTORE, branch=kept, lsn=point.seal.lsn) as entry:
        with connections.ledger(settings) as ledger:
            # A process that was stopped for long may have been given up: then production is no longer its own.
            ledger.renew_lease(release_id, settings.lease_s, fence=fence_of(release_id))
        try:
            client.restore(
                production.id, source_branch_id=production.id, source_lsn=point.seal.lsn, preserve_under_name=kept
            )
        except ServiceRefused as refused:
            branches = client.branches()
            if (no_room := room.refused_for_room(settings, undone_id, refused, branches, production)) is None:
                raise
            raise no_room from refused
        database_guard.write_anew(settings, release_id, production)
        done = Restoration(kept, client.branch(kept).id, point.seal.lsn, datetime.now(UTC))
        entry.result({"branch": kept, "branch_id": done.kept_branch_id, "lsn": done.lsn})
    return done


@contextmanager
def _compute(release_id: str, client: NeonClient, restoration: Restoration) -> Generator[None]:
    """Give the kept branch a compute for as long as the block runs.

    One that cannot be deleted again is told, and takes nothing from what the block has done: it goes with its branch.
    """
    is_ours = client.give_compute(restoration.kept_branch_id)
    try:
        yield
    finally:
        if is_ours:
            best_effort.attempt(
                release_id,
                f"the compute of {restoration.kept_branch} is not known to be deleted, and costs until the branch goes",
                lambda: client.delete_computes(restoration.kept_branch_id),
            )


@step("receipt", timeout_s=1800)
def make_receipt(release_id: str, point: RestorePoint, restoration: Restoration) -> Receipt:
    """List every row that was written since the restore point, by table and key.

    The kept branch gets a compute for as long as it is read.
    """
    settings = connections.settings()
    client = connections.neon(settings)
    folder = settings.cache_folder.absolute() / "receipts"
    folder.mkdir(parents=True, exist_ok=True)
    file: Path = folder / f"{release_id}.jsonl"
    with recorded_step(release_id, Act.RECEIPT, file=str(file)) as entry:
        restored = connections.owner_dsn(settings, client.branch(settings.neon_production_branch))
        with _compute(release_id, client, restoration):
            kept = client.branch_by_id(restoration.kept_branch_id)
            made = receipt(restored, connections.owner_dsn(settings, kept), point.seal, to=file)
        entry.result({"inserted": made.inserted, "updated": made.updated, "deleted": made.deleted, "file": str(file)})
    return made
