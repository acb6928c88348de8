"""Grants that revisions made and no record has: earlier versions left out those of what a revision took over."""

from collections.abc import Sequence

from deployments.git.repository import Commit
from deployments.settings import Settings
from migrations.catalog.contents import Catalog, Difference, difference
from migrations.database.session import reader
from migrations.drift import takeover
from migrations.errors import MigrationError
from migrations.history.revisions import History
from tasks import catalogue, connections
from tasks.record import note
from tasks.step import step


def unrecorded_grants(
    settings: Settings, history: History, expected: catalogue.ExpectedCatalog, live: catalogue.LiveSchema
) -> tuple[Difference, ...]:
    """The grants that stand just as the revisions that stand make them, and differ from what was recorded.

    Args:
        history: of the commit whose revisions stand there.
        expected: what the catalogue must be by what was recorded.
        live: what stands.
    """
    if expected.catalog is None or not expected.grants:
        return ()
    grants = [one for one in difference(expected.catalog, live.catalog) if one.kind == "grant" and one.after]
    if not grants:
        return ()
    try:
        made = catalogue.change_between(settings, history, (), live.revisions, live.default_privileges)
    except MigrationError as error:
        if error.transient:
            raise
        return ()
    return takeover.changes_taken_over(grants, made.differences) if made is not None else ()


@step("keep catalogue", timeout_s=600)
def record_unrecorded_grants(release_id: str, commit: Commit, environments: Sequence[str]) -> None:
    """Add to what was recorded the grants that the revisions which stand make, since a release was started over them.

    Args:
        release_id: the release that was started.
        commit: its commit.
        environments: `production`, `staging`, or both.
    """
    settings = connections.settings()
    for environment in environments:
        branch = connections.production_branch if environment == "production" else connections.staging_branch
        _record(settings, release_id, environment, connections.owner_dsn(settings, branch(settings)), commit)


def _record(settings: Settings, release_id: str, environment: str, dsn: str, commit: Commit) -> None:
    history = connections.history(settings, commit)
    with reader(dsn) as connection:
        live = catalogue.LiveSchema.read(connection, history)
    found = unrecorded_grants(settings, history, catalogue.expected_for(settings, environment, history, live), live)
    with connections.ledger(settings) as ledger:
        kept = ledger.recorded_catalog(settings.target, environment)
        if kept is None or not found:
            return
        catalog = Catalog.from_json(kept.catalog_json).with_changes(found)
        # In the name of the release that left it so: taking this release back must not lose it again.
        ledger.record_catalog(
            settings.target,
            environment,
            release_id=kept.release_id,
            revision=kept.revision,
            digest=catalog.digest,
            catalog_json=catalog.to_json(),
        )
    note(release_id, f"catalogue of {environment}", digest=catalog.digest, grants=[one.name for one in found])
