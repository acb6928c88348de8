"""How often services are called: a budget a minute each, a counter that tells, and pauses that grow while one waits.

Source: Neon lets an account make about 700 calls a minute; Vercel lets it read deployments and projects some 500 times,
and change less. A budget is below a third of that: others of the account call as well, and so may a second run of ours.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

NEON_A_MINUTE = 230
VERCEL_A_MINUTE = 160
_MINUTE_S = 60.0
_GROWTH = 1.25


@dataclass(frozen=True)
class CallCounts:
    """The calls of one service that this process has made.

    Attributes:
        calls: how many in all.
        most_a_minute: how many in the busiest minute.
        budget: how many may be made in a minute.
    """

    calls: int
    most_a_minute: int
    budget: int

    @property
    def within_budget(self) -> bool:
        """Whether no minute had more than may be made."""
        return self.most_a_minute <= self.budget


class CallCounter:
    """Counts the calls of one service over a window of a minute; safe to use from several threads.

    Args:
        service: what it is called.
        budget: how many calls may be made in a minute.
        clock: seconds from any moment on.
    """

    def __init__(self, service: str, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        self._window: deque[float] = deque()
        self._calls = self._most = 0

    def count(self) -> None:
        """Count a call that is made now; the first that goes over the budget is told."""
        with self._lock:
            now = self._clock()
            self._window.append(now)
            while self._window[0] <= now - _MINUTE_S:
                self._window.popleft()
            self._calls += 1
            over = len(self._window) > self._budget >= self._most
            self._most = max(self._most, len(self._window))
        if over:
            log.warning("%s was called more than %s times within a minute", self._service, self._budget)

    @property
    def counts(self) -> CallCounts:
        """What was counted so far."""
        with self._lock:
            return CallCounts(self._calls, self._most, self._budget)


_counters: dict[str, CallCounter] = {}
_lock = threading.Lock()


def counter_of(service: str, budget: int) -> CallCounter:
    """The counter of a service, one a process; the budget of the first who asks holds."""
    with _lock:
        return _counters.setdefault(service, CallCounter(service, budget))


def counted() -> Mapping[str, CallCounts]:
    """What this process has called so far, by service."""
    with _lock:
        return {service: counter.counts for service, counter in _counters.items()}


class GrowingPauses:
    """Pauses between two looks at what goes on elsewhere: each is a quarter longer than the last, up to a bound.

    So an end is noticed no later than a quarter of what was waited for, and a long wait costs few calls.

    Args:
        first_s: seconds of the first one.
        longest_s: seconds that none exceeds.
        sleep: how to wait.
    """

    def __init__(self, first_s: float, longest_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._next_s = min(first_s, longest_s)
        self._longest_s = longest_s
        self._sleep = sleep

    def wait(self) -> None:
        """Wait until the next look."""
        self._sleep(self._next_s)
        self._next_s = min(self._next_s * _GROWTH, self._longest_s)
