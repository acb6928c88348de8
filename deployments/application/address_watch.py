"""Watching an address from outside: reads at a steady rate, how long they took, and which failed."""

import queue
import statistics
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx

from deployments.answers import MIB, BoundedClient, trusted_certificates

PATHS = ("/api/health", "/api/agents", "/api/conversations?limit=10")
WORKERS = 8
TIMEOUT_S = 5.0
GRACE_S = 1.0
MAX_RATE = 100.0
MOST_BYTES = 4 * MIB
_NAMED = 5


@dataclass(frozen=True)
class Observation:
    """What was seen of an address.

    Attributes:
        latencies_ms: milliseconds of each answered request, from when it was due, so that a backlog is seen.
        errors: requests that were answered with a server error, or not at all.
        failures: the first failures in words.
    """

    latencies_ms: tuple[float, ...] = ()
    errors: int = 0
    failures: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """How many requests were made."""
        return len(self.latencies_ms) + self.errors

    @property
    def p95_ms(self) -> float | None:
        """The 95th percentile of the latency in milliseconds; None with fewer than 20 answers to tell it from."""
        if len(self.latencies_ms) < 20:
            return None
        return statistics.quantiles(self.latencies_ms, n=20)[-1]

    def plus(self, other: "Observation") -> "Observation":
        """Both observations as one."""
        return Observation(
            self.latencies_ms + other.latencies_ms,
            self.errors + other.errors,
            (self.failures + other.failures)[:_NAMED],
        )


@dataclass
class _Notes:
    latencies_ms: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])
    lock: threading.Lock = field(default_factory=threading.Lock)


def watch(
    url: str, *, seconds: float, rate: float, stop: threading.Event | None = None, paths: tuple[str, ...] = PATHS
) -> Observation:
    """Read from an address at a steady rate, whether or not it keeps up.

    An address that hangs holds the watch for some seconds beyond its time at most: what it kept waiting until then
    counts as errors.

    Args:
        url: the address.
        seconds: how long.
        rate: requests a second, at most 100.
        stop: ends the watch early when set.
        paths: what is read, in turn.
    """
    stop = stop or threading.Event()
    interval_s = 1 / min(rate, MAX_RATE)
    notes = _Notes()
    with ExitStack() as opened, ThreadPoolExecutor(WORKERS) as pool:
        clients = _clients(url, opened)
        began = time.monotonic()
        reads: list[Future[None]] = []
        for number in range(max(1, int(seconds / interval_s))):
            due = began + number * interval_s
            if stop.wait(max(0.0, due - time.monotonic())):
                break
            reads.append(pool.submit(_read, clients, paths[number % len(paths)], due, notes))
        wait(reads, timeout=0 if stop.is_set() else GRACE_S)
        never_made = sum(read.cancel() for read in reads)
        if not stop.is_set():
            notes.failures += ["waited in vain for an earlier answer"] * never_made
    return Observation(tuple(notes.latencies_ms), len(notes.failures), tuple(notes.failures[:_NAMED]))


def _clients(url: str, opened: ExitStack) -> "queue.SimpleQueue[BoundedClient]":
    """A client for each worker, with one connection of its own: what is late on one cuts off no other."""
    clients: queue.SimpleQueue[BoundedClient] = queue.SimpleQueue()
    for _ in range(WORKERS):
        client = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT_S, verify=trusted_certificates())
        clients.put(BoundedClient(opened.enter_context(client), most_bytes=MOST_BYTES))
    return clients


def _read(clients: "queue.SimpleQueue[BoundedClient]", path: str, due: float, notes: _Notes) -> None:
    client = clients.get()
    try:
        answer = client.request("GET", path, seconds=TIMEOUT_S)
        failure = f"GET {path} answered {answer.status_code}" if answer.is_server_error else ""
    except httpx.HTTPError as error:
        failure = f"GET {path}: {type(error).__name__}"
    finally:
        clients.put(client)
    latency_ms = (time.monotonic() - due) * 1000
    with notes.lock:
        if failure:
            notes.failures.append(failure)
        else:
            notes.latencies_ms.append(latency_ms)
