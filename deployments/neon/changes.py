"""Changes of a Neon project: each is awaited to its end, and none is asked for twice blindly.

Source: a change answers at once with operations, and its object is usable when all of them have ended; a project
refuses further changes meanwhile; a name that is taken is refused with 409.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import JsonValue

from deployments.call_budget import GrowingPauses
from deployments.errors import LostReply, OperationFailed, ServiceRefused
from deployments.neon.values import Branch, Changed, Operation, OperationAnswer, Operations
from deployments.service import Parameters, Service

log = logging.getLogger(__name__)

F = TypeVar("F")

ASKS = 4
_CONFLICT = 409
_PAGE = 100
_LONGEST_PAUSE_S = 2.0


class Changes:
    """The changes of one project.

    Args:
        service: Neon.
        at: path of the project.
        poll_s: seconds between the first two looks at an operation; the pauses grow.
        deadline_s: seconds that the operations of a change may take.
    """

    def __init__(self, service: Service, at: str, *, poll_s: float, deadline_s: float) -> None:
        self._service = service
        self._at = at
        self._poll_s = poll_s
        self._deadline_s = deadline_s

    def make(
        self,
        method: str,
        path: str,
        body: Mapping[str, JsonValue] | None = None,
        *,
        find: Callable[[], F | None],
        branch_id: str | None = None,
        parameters: Parameters | None = None,
    ) -> Changed | F | None:
        """Ask for a change and wait for its end; after a lost reply, or for a name that is taken, look for its effect.

        Args:
            method: HTTP method.
            path: path below the project.
            body: what is asked for. It must be refused, or change nothing more, where its effect exists already.
            find: looks for the effect; None where there is none.
            branch_id: the branch that is changed, where it exists already.
            parameters: query parameters.

        Returns:
            The answer, or what `find` found; None where the answer has no body.

        Raises:
            LostReply: the reply was lost again and again, and nothing shows the effect.
            OperationFailed: an operation of this change ended badly, or not in time.
            ServiceRefused: it did not happen.
        """
        known = {one.id for one in self._newest()}
        for ask in range(1, ASKS + 1):
            try:
                changed = self._service.change(method, self._at + path, Changed, body, parameters)
            except LostReply:
                self.wait_until_idle()
                if (found := find()) is not None:
                    self._refuse_failed(known, {branch_id, found.id if isinstance(found, Branch) else None})
                    return found
                if ask == ASKS:
                    raise
                log.warning("Neon's reply to %s %s was lost, and nothing shows its effect: asking again", method, path)
                time.sleep(self._poll_s * 2**ask)
            except ServiceRefused as refused:
                if refused.status != _CONFLICT:
                    raise
                self.wait_until_idle()
                if (found := find()) is None:
                    raise
                return found
            else:
                self._wait(changed.operations if changed else ())
                return changed
        raise AssertionError("unreachable")

    def _newest(self) -> tuple[Operation, ...]:
        return self._service.read(f"{self._at}/operations", Operations, {"limit": _PAGE}).operations

    def _wait(self, operations: tuple[Operation, ...]) -> None:
        ends, pauses = time.monotonic() + self._deadline_s, GrowingPauses(self._poll_s, _LONGEST_PAUSE_S)
        for operation in operations:
            current = operation
            while not current.ended:
                self._refuse_late(current, ends)
                pauses.wait()
                current = self._service.read(f"{self._at}/operations/{operation.id}", OperationAnswer).operation
            if current.failed:
                raise _failure(current)

    def wait_until_idle(self) -> None:
        """Wait until no change of the project is under way.

        Raises:
            OperationFailed: one still is after the deadline.
        """
        ends, pauses = time.monotonic() + self._deadline_s, GrowingPauses(self._poll_s, _LONGEST_PAUSE_S)
        while running := [one for one in self._newest() if not one.ended]:
            self._refuse_late(running[0], ends)
            pauses.wait()

    def _refuse_late(self, operation: Operation, ends: float) -> None:
        if time.monotonic() > ends:
            raise OperationFailed(
                f"Neon: {operation.action} of branch {operation.branch_id} is still {operation.status} "
                f"after {self._deadline_s:.0f} s"
            )

    def _refuse_failed(self, known: set[str], branch_ids: set[str | None]) -> None:
        """Fail over what went wrong since the change was asked for, with what it changes; nothing else is ours."""
        for one in self._newest():
            if one.failed and one.id not in known and one.branch_id is not None and one.branch_id in branch_ids:
                raise _failure(one)


def _failure(operation: Operation) -> OperationFailed:
    return OperationFailed(
        f"Neon: {operation.action} of branch {operation.branch_id} ended as {operation.status}"
        f"{': ' + operation.error if operation.error else ''}"
    )
