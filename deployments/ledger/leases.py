"""Keeps a release's lease alive while its process works."""

import logging
import threading
from types import TracebackType
from typing import Self

from deployments.ledger.errors import LeaseLost, LedgerError
from deployments.ledger.held_releases import HeldReleases

logger = logging.getLogger(__name__)


class KeptLease:
    """Renews a lease from a thread of its own, until the block is left or the release is lost.

    Whether the release is still ours is asked of the ledger before each act (`begin_step`), not of this: what this
    knows may be old.
    """

    def __init__(self, ledger: HeldReleases, release_id: str, lease_s: float, *, fence: int | None = None) -> None:
        self._ledger = ledger
        self._release_id = release_id
        self._lease_s = lease_s
        self._fence = fence
        self._left = threading.Event()
        self._lost: LeaseLost | None = None
        self._thread = threading.Thread(target=self._keep, name=f"lease of {release_id}", daemon=True)

    @property
    def lost(self) -> LeaseLost | None:
        """Why the lease is lost; None while it is not known to be."""
        return self._lost

    def __enter__(self) -> Self:
        self._renew(patient=True)
        if self._lost is not None:
            raise self._lost
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def _renew(self, *, patient: bool) -> None:
        try:
            self._ledger.renew_lease(self._release_id, self._lease_s, fence=self._fence, patient=patient)
        except LeaseLost as lost:
            self._lost = lost

    def _keep(self) -> None:
        wait_s = self._lease_s / 3
        while not self._left.wait(wait_s):
            wait_s = self._lease_s / 3
            try:
                self._renew(patient=False)
            except LedgerError as error:
                # The lease outlives some missed renewals: try soon again; every act asks before it.
                logger.warning("the lease of release %s could not be renewed: %s", self._release_id, error)
                wait_s = min(1.0, wait_s)
            if self._lost is not None:
                logger.error("%s", self._lost)
                return
