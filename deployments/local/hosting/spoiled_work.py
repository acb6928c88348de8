"""What a fault makes of the work that a call begins, while the call itself is answered as ever."""

import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from deployments.local.errors import LocalPlatformError


@dataclass(frozen=True)
class SpoiledWork:
    """What becomes of the work that a call begins.

    Attributes:
        ends: how it ends.
        cleared: set when the faults are cleared.
    """

    ends: Literal["failed", "never"]
    cleared: threading.Event

    def meet(self) -> None:
        """Stand before the work: it fails here, or waits until the faults are cleared.

        Raises:
            LocalPlatformError: it fails.
        """
        if self.ends == "failed":
            raise LocalPlatformError("a fault let it fail")
        self.cleared.wait()


# Of the call that is being served.
spoiled_work: ContextVar[SpoiledWork | None] = ContextVar("spoiled_work", default=None)
