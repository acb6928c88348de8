"""Whether the revisions are in order, with each other and with the models; one check a file."""

from collections.abc import Sequence

from sqlalchemy import MetaData

from migrations.authoring.consistency._round_trip import run_round_trip
from migrations.authoring.consistency.finding import CheckResult
from migrations.authoring.consistency.models import CHECK as MODELS
from migrations.authoring.consistency.models import check_foreign_models, check_models
from migrations.authoring.consistency.naming import check_names, check_phases_declared
from migrations.authoring.consistency.order import check_heads, check_order
from migrations.authoring.consistency.parents import check_parents
from migrations.history.revisions import History
from migrations.recording.throwaway import throwaway_database


def check_revisions(
    dsn: str, history: History, *, metadata: MetaData | None, current: Sequence[str] | None = None
) -> tuple[CheckResult, ...]:
    """Everything that can be told of a history without the database that it is for.

    Args:
        dsn: direct connection string of a server where throwaway databases may be made.
        history: the revisions.
        metadata: the models; None for a project that is not ours, whose env.py knows them.
        current: the revisions that are released already; None where that is not known.

    Returns:
        What each check found, in a fixed order.

    Raises:
        MigrationError: the server refused, or the models cannot be built.

    Locks: none outside of the throwaway databases.
    """
    ours = history.environment is None
    read = [check_parents(history.folders), check_heads(history)]
    read += [check_names(history), check_phases_declared(history)] if ours else []
    read.append(check_order(history, current))
    with throwaway_database(dsn) as empty:
        round_trip = run_round_trip(empty, history)
        if round_trip.head is None:
            models = CheckResult.cannot_tell(MODELS, "the revisions cannot be applied to an empty database")
        elif metadata is not None:
            models = check_models(empty, round_trip.head, metadata)
        elif history.environment is not None:
            models = check_foreign_models(empty, history.environment)
        else:
            models = CheckResult.cannot_tell(MODELS, "no models were named")
    return (*read, models, round_trip.result)
