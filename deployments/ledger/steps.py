"""The steps of a release, written before and after every act that changes something, and never changed."""

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, func, insert, select

from deployments.ledger import schema
from deployments.ledger.errors import LedgerError
from deployments.ledger.releases import refuse_fenced, release_of
from deployments.ledger.storable_values import storable
from deployments.ledger.store import Store, now
from deployments.ledger.values import Json, Step, StepEvent

logger = logging.getLogger(__name__)

_steps = schema.steps
_NOTHING: Mapping[str, Json] = MappingProxyType({})


class StepHandle:
    """What a step that is under way has to say of itself once it is done."""

    def __init__(self) -> None:
        self.details: dict[str, Json] = {}

    def result(self, details: Mapping[str, Json]) -> None:
        """Add to what is written when the step is done, or when it fails after all.

        Args:
            details: Merged with what was given before.
        """
        self.details.update(details)


class Steps(Store):
    """The steps of a ledger's releases."""

    def begin_step(
        self, release_id: str, step: str, details: Mapping[str, Json] = _NOTHING, *, fence: int | None = None
    ) -> Step:
        """Write that an act is about to be done, and refuse it where the release is no longer ours.

        Args:
            release_id: A running release.
            step: The act's name.
            details: What it is about to do; `branch`, `deployment`, `maintenance` and `protection_lifted` are read by
                `leftovers`.
            fence: The number of the lease that is held; None for whoever holds it.

        Raises:
            LeaseLost: the release was closed or taken over meanwhile: the act must not be done.
            ReleaseNotFound: there is none of that id.
        """
        return self._append(release_id, step, "begun", details, fence)

    def finish_step(self, release_id: str, step: str, details: Mapping[str, Json] = _NOTHING) -> Step:
        """Write that an act was done; a fact, taken of a closed release too."""
        return self._append(release_id, step, "done", details)

    def fail_step(self, release_id: str, step: str, details: Mapping[str, Json] = _NOTHING) -> Step:
        """Write that an act failed; a fact, taken of a closed release too."""
        return self._append(release_id, step, "failed", details)

    def note(self, release_id: str, step: str, details: Mapping[str, Json] = _NOTHING) -> Step:
        """Write a fact that no single act stands for."""
        return self._append(release_id, step, "noted", details)

    @contextmanager
    def step(
        self, release_id: str, name: str, details: Mapping[str, Json] = _NOTHING, *, fence: int | None = None
    ) -> Generator[StepHandle]:
        """Write an act down before and after it is done.

        Args:
            release_id: A running release.
            name: The act's name.
            details: What it is about to do.
            fence: The number of the lease that is held; None for whoever holds it.

        Yields:
            A handle that takes what the act brought about.

        Raises:
            LeaseLost: the release was closed or taken over meanwhile; the block is not entered.
        """
        self.begin_step(release_id, name, details, fence=fence)
        handle = StepHandle()
        try:
            yield handle
        except BaseException as error:
            self._write_failure(release_id, name, handle, error)
            raise
        self.finish_step(release_id, name, handle.details)

    def steps(self, release_id: str) -> tuple[Step, ...]:
        """The steps of a release, in their order.

        Raises:
            ReleaseNotFound: there is no release of that id.
        """

        def find(connection: Connection) -> tuple[Step, ...]:
            release_of(connection, release_id)
            query = select(_steps).where(_steps.c.release_id == release_id).order_by(_steps.c.seq)
            return tuple(_step(row) for row in connection.execute(query).mappings())

        return self._read(find)

    def acts(self, target: str, *names: str) -> dict[str, tuple[Step, ...]]:
        """The steps of these names of all releases of a target, by release and in their order.

        Args:
            target: The project with its environments.
            names: Names of steps.
        """
        query = (
            select(_steps)
            .join(schema.releases, schema.releases.c.id == _steps.c.release_id)
            .where(schema.releases.c.target == target, _steps.c.step.in_(names))
            .order_by(_steps.c.release_id, _steps.c.seq)
        )
        rows = self._read(lambda connection: connection.execute(query).mappings().all())
        found: dict[str, list[Step]] = {}
        for row in rows:
            found.setdefault(row["release_id"], []).append(_step(row))
        return {release_id: tuple(steps) for release_id, steps in found.items()}

    def _append(
        self, release_id: str, step: str, event: StepEvent, details: Mapping[str, Json], fence: int | None = None
    ) -> Step:
        step_id = str(uuid4())
        kept = storable(details)

        def append(connection: Connection) -> Step:
            release = release_of(connection, release_id, lock=True)
            query = select(_steps).where(_steps.c.id == step_id)
            if (found := connection.execute(query).mappings().one_or_none()) is not None:
                return _step(found)
            if event == "begun":
                refuse_fenced(release, fence)
            last = connection.execute(select(func.max(_steps.c.seq)).where(_steps.c.release_id == release_id)).scalar()
            row = {"id": step_id, "release_id": release_id, "seq": (last or 0) + 1, "step": step, "event": event}
            connection.execute(insert(_steps).values(**row, at=now(connection), details=kept))
            return _step(connection.execute(query).mappings().one())

        return self._write(append)

    def _write_failure(self, release_id: str, name: str, handle: StepHandle, error: BaseException) -> None:
        what = {**handle.details, "error": type(error).__name__, "message": str(error)}
        try:
            self.fail_step(release_id, name, what)
        except LedgerError as unwritten:
            # What failed first is what matters: the ledger's own trouble goes along as a note.
            logger.warning("the failure of step %s of release %s could not be written: %s", name, release_id, unwritten)
            error.add_note(f"The ledger could not take this failure: {unwritten}")


def _step(row: RowMapping) -> Step:
    return Step(**row)
