"""Moves of a project's production address: each is asked for once, awaited, and seen before it is believed."""

import logging
import time
from collections.abc import Callable

from deployments.call_budget import GrowingPauses
from deployments.errors import LostReply, PromotionFailed, ServiceRefused
from deployments.service import Service
from deployments.vercel.values import AliasRequest, IgnoredAnswer, VercelProject

log = logging.getLogger(__name__)

_CONFLICT = 409
_ASKS = 3
_LOOKS = 10
_MOVE_S = 120.0
_LONGEST_PAUSE_S = 1.0


class Moves:
    """Moves the production address of one project.

    Args:
        service: Vercel.
        project: reads the project.
        poll_s: seconds between the first two looks; the pauses grow.
        deadline_s: seconds that a move may take; never longer than two minutes.
    """

    def __init__(
        self, service: Service, project: Callable[[], VercelProject], *, poll_s: float, deadline_s: float
    ) -> None:
        self._service = service
        self._project = project
        self._poll_s = poll_s
        self._deadline_s = min(deadline_s, _MOVE_S)

    def move(self, deployment_id: str, path: str) -> None:
        """Move production's address. A move under way is waited out first: it would undo what is found or done now.

        Args:
            deployment_id: where to; nothing is asked for where it is there already.
            path: what asks for it.

        Raises:
            PromotionFailed: it did not move.
        """
        ends = time.monotonic() + self._deadline_s
        for ask in range(1, _ASKS + 1):
            before = self._at_rest(ends)
            if before.production_deployment_id == deployment_id:
                return
            lost = False
            try:
                self._service.change("POST", path, IgnoredAnswer, {})
            except LostReply:
                log.warning("Vercel's reply to POST %s was lost: looking whether the address moves", path)
                lost = True
            except ServiceRefused as refused:
                if refused.status != _CONFLICT or ask == _ASKS or not self._project().moving:
                    raise
                continue
            if self._has_moved(deployment_id, before.last_alias_request, ends, looks=_LOOKS if lost else None):
                return
        raise PromotionFailed(f"Vercel: production's address did not move to {deployment_id}, though it was asked to")

    def _at_rest(self, ends: float) -> VercelProject:
        pauses = GrowingPauses(self._poll_s, _LONGEST_PAUSE_S)
        while (project := self._project()).moving:
            if time.monotonic() > ends:
                raise PromotionFailed("Vercel: an earlier move of production's address does not come to an end")
            pauses.wait()
        return project

    def _has_moved(self, deployment_id: str, before: AliasRequest | None, ends: float, *, looks: int | None) -> bool:
        """Wait for the end of a move.

        Args:
            deployment_id: where to.
            before: the last move before this one.
            ends: when to give up.
            looks: after how many looks a move that nothing shows was never begun; it was for certain where None.
        """
        seen, pauses = looks is None, GrowingPauses(self._poll_s, _LONGEST_PAUSE_S)
        # Whether a move begins is seen soon or not at all: it is asked for again without a longer wait.
        soon = GrowingPauses(self._poll_s, self._poll_s)
        while time.monotonic() < ends:
            project = self._project()
            last = project.last_alias_request
            if project.production_deployment_id == deployment_id and not project.moving:
                return True
            seen = seen or last != before
            ours = last is not None and last != before and last.to_deployment_id == deployment_id
            if ours and last is not None and last.job_status in {"failed", "skipped"}:
                raise PromotionFailed(f"Vercel: the {last.type} to {deployment_id} ended as {last.job_status}")
            if not seen:
                looks = (looks or 0) - 1
                if looks <= 0:
                    return False
            (pauses if seen else soon).wait()
        raise PromotionFailed(f"Vercel: production's address did not move to {deployment_id} in time")
