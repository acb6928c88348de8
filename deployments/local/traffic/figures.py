"""What traffic leaves behind: figures, failures, and the file of acknowledged writes."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

_FAILURES_KEPT = 50


@dataclass(frozen=True)
class AcknowledgedWrite:
    """A message that the application said it had kept, and when the answer came."""

    at: datetime
    id: str


@dataclass(frozen=True)
class TrafficReport:
    """What the users saw.

    A request that had to wait for the answer before it counts from when it was due, so that a stall shows in full.
    `refused` are answers 503 with Retry-After, as maintenance gives; `unsent` were due, and not sent before the end.
    """

    requests: int
    errors: int
    refused: int
    unsent: int
    acknowledged: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    users: int
    failures: tuple[str, ...]


def read_acknowledged(path: Path) -> tuple[AcknowledgedWrite, ...]:
    """Return the acknowledged writes of a file, in the order of their answers."""
    rows = (line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(AcknowledgedWrite(datetime.fromisoformat(at), identity) for at, identity in rows)


class Tally:
    """Counts what all users see, and appends what was acknowledged to a file; `with` opens and closes it."""

    def __init__(self, users: int, acknowledged: Path) -> None:
        self._users = users
        self._path = acknowledged
        self._lock = threading.Lock()
        self._times_ms: list[float] = []
        self._errors = self._refused = self._unsent = self._acknowledged = 0
        self._failures: list[str] = []

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)

    def answered(self, what: str, took_ms: float, outcome: httpx.Response | httpx.HTTPError) -> None:
        """Count a request that ended, well or not."""
        refused = failed = False
        if isinstance(outcome, httpx.Response):
            refused = outcome.status_code == HTTPStatus.SERVICE_UNAVAILABLE and "retry-after" in outcome.headers
            failed = not refused and not outcome.is_success
            said = f"{outcome.status_code} {outcome.text[:200]}"
        else:
            failed = True
            said = f"{type(outcome).__name__}: {outcome}"
        with self._lock:
            self._times_ms.append(took_ms)
            self._refused += refused
            self._errors += failed
            if failed and len(self._failures) < _FAILURES_KEPT:
                self._failures.append(f"{datetime.now(UTC).isoformat()} {what}: {said}")

    def acknowledge(self, identity: str) -> None:
        """Note a message that was kept."""
        with self._lock:
            self._acknowledged += 1
            # One call a line, unbuffered: neither a reader nor a kill meets half of one.
            os.write(self._file, f"{datetime.now(UTC).isoformat()} {identity}\n".encode())

    def leave_unsent(self, count: int) -> None:
        """Count requests that were due before the end, and for which there was no time."""
        with self._lock:
            self._unsent += count

    def report(self) -> TrafficReport:
        """Return the figures so far."""
        with self._lock:
            times_ms = sorted(self._times_ms)
            return TrafficReport(
                requests=len(times_ms),
                errors=self._errors,
                refused=self._refused,
                unsent=self._unsent,
                acknowledged=self._acknowledged,
                p50_ms=percentile(times_ms, 50),
                p95_ms=percentile(times_ms, 95),
                p99_ms=percentile(times_ms, 99),
                users=self._users,
                failures=tuple(self._failures),
            )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that so many percent do not exceed (nearest rank); 0 where there is none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
