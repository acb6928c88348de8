"""What revisions send when they run, for those that Alembic cannot write down: up to the first that does not run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from migrations.apply.migrate import upgrade
from migrations.database.trace import Trace
from migrations.errors import RevisionFailed
from migrations.history.revisions import History
from migrations.recording.recorded_statements import RecordedStatement
from migrations.recording.throwaway import throwaway_database

log = logging.getLogger(__name__)


def record_what_runs(dsn: str, history: History) -> Mapping[str, Sequence[RecordedStatement]]:
    """Run a history on a throwaway database, and keep what it sent before a revision failed.

    Args:
        dsn: direct connection string of a server where a throwaway database may be made; its own is not touched.
        history: the revisions.

    Returns:
        Statements by revision; those that did not run have none.

    Raises:
        MigrationError: there is no throwaway database to be had.

    Locks: none outside of the throwaway database.
    """
    failed = ""
    with throwaway_database(dsn) as empty, Trace.of(empty) as trace:
        try:
            for head in history.heads:
                upgrade(empty, history, target=head, release_id="lint", record=False, trace=trace)
        except RevisionFailed as error:
            failed = error.revision
            log.info("revision %s does not run on an empty database: %s", failed, error)
        sent: dict[str, list[RecordedStatement]] = {}
        for one in trace.statements:
            sent.setdefault(one.revision, []).append(RecordedStatement(one.sql, one.transaction is not None))
    return {revision: statements for revision, statements in sent.items() if revision != failed}
