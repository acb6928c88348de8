"""The catalogue that drift is measured against: kept in the ledger at the end of every way, forward or back."""

from deployments.settings import Settings
from migrations.catalog import read_catalog
from migrations.session import reader
from tasks import connections
from tasks.record import note
from tasks.step import step


@step("keep catalogue", timeout_s=300)
def keep_production(release_id: str, revision: str) -> None:
    """Keep production's catalogue as it stands now.

    Args:
        release_id: the release that left it so.
        revision: the revisions that stand there, as text.
    """
    given = connections.settings()
    dsn = connections.owner_dsn(given, connections.production_branch(given))
    keep(given, release_id, "production", dsn, revision)


def keep(given: Settings, release_id: str, environment: str, dsn: str, revision: str) -> None:
    """Keep the catalogue of one environment."""
    with reader(dsn) as connection:
        live = read_catalog(connection)
    with connections.ledger(given) as ledger:
        ledger.record_catalog(
            given.target,
            environment,
            release_id=release_id,
            revision=revision,
            digest=live.digest,
            catalog_json=live.to_json(),
        )
    note(release_id, f"catalogue of {environment}", digest=live.digest, revision=revision)
