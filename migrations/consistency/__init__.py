"""Whether the revisions are in order, with each other and with the models; one check a file."""

from collections.abc import Sequence

from sqlalchemy import MetaData

from migrations.consistency.finding import CheckResult, Finding
from migrations.consistency.live import check_live
from migrations.consistency.models import CHECK as MODELS
from migrations.consistency.models import check_models
from migrations.consistency.naming import check_names, check_phases_declared
from migrations.consistency.order import check_heads, check_order
from migrations.consistency.parents import check_parents
from migrations.consistency.walk import walk
from migrations.history import History
from migrations.throwaway import throwaway_database

__all__ = ["CheckResult", "Finding", "check_heads", "check_live", "check_parents", "check_revisions"]


def check_revisions(
    dsn: str, history: History, *, metadata: MetaData | None, stands: Sequence[str] | None = None
) -> tuple[CheckResult, ...]:
    """Everything that can be told of a history without the database that it is for.

    Args:
        dsn: direct connection string of a server where throwaway databases may be made.
        history: the revisions.
        metadata: the models; None where the history has none that could be read.
        stands: the revisions that are released already; None where that is not known.

    Returns:
        What each check found, in a fixed order.

    Raises:
        MigrationError: the server refused, or the models cannot be built.

    Locks: none outside of the throwaway databases.
    """
    read = (check_heads(history), check_names(history), check_phases_declared(history), check_order(history, stands))
    with throwaway_database(dsn) as empty:
        walked = walk(empty, history)
        if metadata is None:
            models = CheckResult.cannot_tell(MODELS, "no models were named")
        elif walked.head is None:
            models = CheckResult.cannot_tell(MODELS, "the revisions cannot be applied to an empty database")
        else:
            models = check_models(empty, walked.head, metadata)
    return (*read, models, walked.result)
