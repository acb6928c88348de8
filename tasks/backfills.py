"""Backfills of a release, as progress in the Prefect UI."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from deployments.redaction.redactor import redacted
from migrations.backfill.operation import BackfillProgress, reporting_progress

log = logging.getLogger(__name__)

EVERY_S = 2.0


@contextmanager
def shown_in_prefect() -> Generator[None]:
    """Show the backfills that run meanwhile as progress artifacts of the run, one a table and revision."""
    with reporting_progress(ProgressArtifact()):
        yield


class ProgressArtifact:
    """Keeps an artifact up to date; where Prefect does not answer, the backfill goes on unseen."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], UUID] = {}
        self._told = float("-inf")
        self._failed = False

    def __call__(self, progress: BackfillProgress, /) -> None:
        """Show it, now and then, and at the end."""
        now = time.monotonic()
        if self._failed or (now < self._told + EVERY_S and not progress.finished):
            return
        self._told = now
        try:
            self._show(progress)
        except Exception as error:  # Prefect raises what its HTTP client does; rows matter more than their picture.
            self._failed = True
            log.warning("the progress of the backfill is not shown: %s", error)

    def _show(self, progress: BackfillProgress) -> None:
        key, percent = (progress.revision, progress.table), round(progress.share * 100, 1)
        said = redacted(str(progress))
        if key in self._made:
            update_progress_artifact(self._made[key], progress=percent, description=said)
        else:
            made = create_progress_artifact(progress=percent, key="backfill", description=said)
            self._made[key] = UUID(str(made))
