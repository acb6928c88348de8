"""Asynchronous operations: work that is accepted at once and done by one thread, one piece after the other."""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from deployments.local.errors import LocalPlatformError, RefusedError
from deployments.local.hosting.spoiled_work import SpoiledWork, spoiled_work
from deployments.local.neon.records import Record, now

logger = logging.getLogger(__name__)

_KEPT = 1000

Status = Literal["scheduling", "running", "finished", "failed", "cancelled"]
Action = Literal[
    "create_branch", "create_timeline", "delete_timeline", "timeline_archive", "start_compute", "suspend_compute",
    "create_compute", "apply_config",
]  # fmt: skip


class Operation(Record):
    """One step of the work that a request asked for."""

    id: str
    action: Action
    status: Status
    branch_id: str | None
    endpoint_id: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    error: str | None = None

    @property
    def duration_ms(self) -> int:
        """How long it ran until now, in milliseconds."""
        return int((self.updated_at - self.started_at).total_seconds() * 1000) if self.started_at else 0


@dataclass(frozen=True)
class Step:
    """What an operation does, and to what."""

    action: Action
    work: Callable[[], None]
    branch_id: str | None = None
    endpoint_id: str | None = None


@dataclass(frozen=True)
class _Job:
    operations: tuple[Operation, ...]
    steps: tuple[Step, ...]
    on_failure: Callable[[], None]


class Operations:
    """All operations of a project; at most one job runs, and while it does no other is accepted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known: dict[str, Operation] = {}
        self._busy = False
        self._closed = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="operations", daemon=True)
        self._thread.start()

    def refuse_while_busy(self) -> None:
        """Refuse what would conflict with the work that runs.

        Raises:
            RefusedError: With status 423; the same request works a moment later.

        Source: Neon answers 423 while another chain of operations holds the project.
        """
        with self._changed:
            if self._busy or self._closed:
                raise RefusedError(
                    423, "project already has running conflicting operations, scheduling of new ones is prohibited"
                )

    def begin(self, steps: Sequence[Step], *, on_failure: Callable[[], None] = lambda: None) -> tuple[Operation, ...]:
        """Accept work, which another thread then does step by step.

        Args:
            steps: What is done; where one fails the later ones are cancelled.
            on_failure: What is done after a step has failed, before the project is free again.

        Returns:
            One operation a step, none of them started.

        Raises:
            RefusedError: Other work runs.
        """
        if (spoiled := spoiled_work.get()) is not None:
            steps = [_spoiled(steps[0], spoiled), *steps[1:]]
        with self._changed:
            self.refuse_while_busy()
            moment = now()
            operations = tuple(
                Operation(
                    id=str(uuid.uuid4()),
                    action=step.action,
                    status="scheduling",
                    branch_id=step.branch_id,
                    endpoint_id=step.endpoint_id,
                    created_at=moment,
                    updated_at=moment,
                )
                for step in steps
            )
            self._known.update((operation.id, operation) for operation in operations)
            for forgotten in list(self._known)[:-_KEPT]:
                del self._known[forgotten]
            self._busy = True
        self._jobs.put(_Job(operations, tuple(steps), on_failure))
        return operations

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation as it stands."""
        with self._changed:
            return self._known.get(operation_id)

    def newest_first(self) -> tuple[Operation, ...]:
        """Return all operations that are remembered."""
        with self._changed:
            return tuple(reversed(self._known.values()))

    def wait_until_free(self, timeout_s: float) -> bool:
        """Wait until no work runs; return whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout_s)

    def close(self, timeout_s: float) -> None:
        """Accept no more work, and wait for the end of what runs."""
        with self._changed:
            self._closed = True
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            ended = self._run(job)
            with self._changed:
                # Together: whoever sees the last operation end is not refused any more.
                self._known.update((operation.id, operation) for operation in ended)
                self._busy = False
                self._changed.notify_all()

    def _run(self, job: _Job) -> list[Operation]:
        """Do a job, noting all but what ends it; return the operations whose end is still to be noted."""
        last = len(job.steps) - 1
        for number, (operation, step) in enumerate(zip(job.operations, job.steps, strict=True)):
            running = _with(operation, "running", started_at=now())
            self._note(running)
            try:
                step.work()
            except Exception as error:
                logger.exception("operation %s failed", step.action)
                self._clean_up(job)
                failed = _with(running, "failed", error=_reason(error))
                return [failed, *(_with(later, "cancelled") for later in job.operations[number + 1 :])]
            finished = _with(running, "finished")
            if number == last:
                return [finished]
            self._note(finished)
        return []

    def _clean_up(self, job: _Job) -> None:
        try:
            job.on_failure()
        except Exception:
            logger.exception("cleaning up after a failed operation failed")

    def _note(self, operation: Operation) -> None:
        with self._changed:
            self._known[operation.id] = operation


def _spoiled(step: Step, spoiled: SpoiledWork) -> Step:
    def work() -> None:
        spoiled.meet()
        step.work()

    return replace(step, work=work)


def _with(operation: Operation, status: Status, **update: object) -> Operation:
    return operation.model_copy(update={"status": status, "updated_at": now(), **update})


def _reason(error: Exception) -> str:
    known = isinstance(error, LocalPlatformError)
    return str(error) if known else f"unexpected {type(error).__name__}; see the platform's log"
