"""The models against the revisions: both must build the same catalogue."""

from sqlalchemy import MetaData

from migrations.catalog import Catalog, Difference, difference
from migrations.consistency.finding import CheckResult, Finding, shortened
from migrations.modelled import alembic_differences, modelled_catalog

CHECK = "models"

_WORDS = {
    "added": "is in the models and in no revision",
    "removed": "is made by the revisions, and the models lack it",
    "changed": "is another one in the models than the revisions make it",
}


def check_models(head: str, built: Catalog, metadata: MetaData) -> CheckResult:
    """Whether the models say what the revisions build, in every kind of object.

    Args:
        head: direct connection string of the throwaway database that stands at the head.
        built: what the revisions build there.
        metadata: the models.

    Raises:
        MigrationError: the models could not be built.
    """
    found = [_finding(one) for one in difference(built, modelled_catalog(head, metadata))]
    # Alembic sees less; what it alone sees would stop `alembic check`, and make `--autogenerate` write it again.
    found = found or [Finding("alembic check", one, "mend the models") for one in alembic_differences(head, metadata)]
    return CheckResult.of(CHECK, found, f"{len(built.objects)} objects of the catalogue")


def _finding(found: Difference) -> Finding:
    return Finding(
        f"{found.kind} {found.name}",
        f"{_WORDS[found.change]} ({shortened(found)})",
        "mend the models, or write the revision: `pilotage new`",
    )
