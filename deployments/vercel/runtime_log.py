"""The runtime log of a deployment: what users' requests were answered with, line by line as it happens.

Source: Vercel sends what is logged from now on and ends the stream by itself after five minutes; a request may leave
several lines, told apart by their row ids, and lines without a status are no answers. Any field may be null.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.answers import MIB, lines, shut_down_connection

log = logging.getLogger(__name__)

BREAKS = 3
TOO_SHORT_S = 10.0
MOST_BYTES = 256 * MIB
_PAUSE_S = 0.2
_NAMED = 5
_SERVER_ERROR = 500


@dataclass(frozen=True)
class RequestCounts:
    """The requests that a deployment answered while its log was read.

    Attributes:
        requests: how many.
        errors: how many of them with a server error.
        failures: the first of those, as method, path and status.
    """

    requests: int
    errors: int
    failures: tuple[str, ...]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    row_id: str | int | None = Field(default=None, alias="rowId")
    method: str | None = Field(default=None, alias="requestMethod")
    path: str | None = Field(default=None, alias="requestPath")
    status: int | None = Field(default=None, alias="responseStatusCode")


@dataclass
class _Counted:
    rows: set[str] = field(default_factory=set[str])
    requests: int = 0
    unread: int = 0
    errors: int = 0
    failures: list[str] = field(default_factory=list[str])

    def add(self, text: str) -> None:
        """Count a line; one that cannot be read says nothing of those that follow it."""
        if not text.strip():
            return
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            self.unread += 1
            log.warning("a line of the runtime log cannot be read: %s", error.errors()[0]["msg"])
            return
        if line.status is None or line.status <= 0 or str(line.row_id) in self.rows:
            return
        if line.row_id is not None:
            self.rows.add(str(line.row_id))
        self.requests += 1
        if line.status >= _SERVER_ERROR:
            self.errors += 1
            self.failures.append(f"{line.method or '?'} {line.path or '?'} {line.status}")

    @property
    def counts(self) -> RequestCounts | None:
        """What was counted; None where most of the lines could not be read."""
        if self.unread > self.requests:
            return None
        return RequestCounts(self.requests, self.errors, tuple(self.failures[:_NAMED]))


def count_requests(
    open_log: Callable[[], AbstractContextManager[httpx.Response]], *, seconds: float, stop: threading.Event
) -> RequestCounts | None:
    """Count the requests that a log tells of, from now on.

    Args:
        open_log: opens the log; again where it ends before its time.
        seconds: how long to listen.
        stop: ends the listening early when set.

    Returns:
        The counts; None where the log was refused, broke again and again, or had more lines that cannot be read than
        requests, so that nothing can be told from it.
    """
    ends = time.monotonic() + seconds
    counted, breaks = _Counted(), 0
    while not stop.is_set() and time.monotonic() < ends:
        opened = time.monotonic()
        why = _listen(open_log, counted, stop, ends)
        if why is None:
            return None
        if stop.is_set() or time.monotonic() >= ends:
            break
        # A stream that lasted is one that the platform ends by itself.
        breaks = breaks + 1 if time.monotonic() - opened < TOO_SHORT_S else 0
        log.warning("the runtime log ended early (%s)", why)
        if breaks > BREAKS:
            return None
        stop.wait(min(_PAUSE_S, max(0.0, ends - time.monotonic())))
    return counted.counts


def _listen(
    open_log: Callable[[], AbstractContextManager[httpx.Response]],
    counted: _Counted,
    stop: threading.Event,
    ends: float,
) -> str | None:
    """Read the log until it ends; return why it did, None where it was refused."""
    try:
        with open_log() as answer, _ended(answer, stop, ends):
            if not answer.is_success:
                log.warning("the runtime log answered %s", answer.status_code)
                return None
            for line in lines(answer, longest=MIB, most_bytes=MOST_BYTES):
                counted.add(line)
    except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as error:
        return type(error).__name__
    return "closed by the platform"


@contextmanager
def _ended(answer: httpx.Response, stop: threading.Event, ends: float) -> Generator[None]:
    """End a stream that would go on for ever, when it is time or when the reader is told to stop."""
    left = threading.Event()

    def end() -> None:
        while not stop.wait(_PAUSE_S / 2) and not left.is_set() and time.monotonic() < ends:
            pass
        stream = answer.extensions.get("network_stream")
        if not left.is_set() and stream is not None:
            shut_down_connection(stream)

    ending = threading.Thread(target=end, name="end of the runtime log", daemon=True)
    ending.start()
    try:
        yield
    finally:
        left.set()
        ending.join()
