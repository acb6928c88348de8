"""Addresses: production's, whose traffic moves from build to build, and one of each build's own.

An address forwards each request to the process that serves at that moment; requests under way end where they began.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from threading import Condition

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deployments.local.hosting.loopback import NO_TLS

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# What belongs to one connection, and not to the message that is forwarded. Source: RFC 9110, 7.6.1.
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
_LINES_KEPT = 20_000


@dataclass(frozen=True)
class LogLine:
    """One request in a deployment's runtime log, by the names of Vercel's API."""

    requestMethod: str  # noqa: N815
    requestPath: str  # noqa: N815
    responseStatusCode: int  # noqa: N815
    domain: str
    level: str = "info"
    message: str = ""
    messageTruncated: bool = False  # noqa: N815
    source: str = "serverless"
    rowId: str = field(default_factory=lambda: uuid.uuid4().hex)  # noqa: N815
    timestampInMs: int = field(default_factory=lambda: time.time_ns() // 1_000_000)  # noqa: N815

    def as_dict(self) -> dict[str, object]:
        """The line as JSON has it."""
        return asdict(self)


class RuntimeLog:
    """The requests that a deployment answered; followed from other threads."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, LogLine]] = deque(maxlen=_LINES_KEPT)
        self._next = 0
        self._changed = Condition()

    @property
    def end(self) -> int:
        """The number of the line that comes next."""
        with self._changed:
            return self._next

    def add(self, line: LogLine) -> None:
        """Write a line."""
        with self._changed:
            self._lines.append((self._next, line))
            self._next += 1
            self._changed.notify_all()

    def since(self, number: int, *, wait_s: float) -> tuple[int, list[LogLine]]:
        """The lines from a number on, waiting a while for the first; and the number that comes next."""
        with self._changed:
            self._changed.wait_for(lambda: self._next > number, timeout=wait_s)
            return self._next, [line for at, line in self._lines if at >= number]


@dataclass(frozen=True)
class Upstream:
    """A process that serves: its address and the log of what it answers."""

    url: str
    log: RuntimeLog


def create_address_app(upstream: Callable[[], Upstream | None], *, bypass_secret: str | None) -> Starlette:
    """An address that forwards to whatever serves at the moment of each request.

    Args:
        upstream: who serves now; None where nothing does.
        bypass_secret: what a request must carry to be let through; None where everybody is.
    """
    client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        nonlocal client
        # The application keeps an idle connection far longer, so that none is closed as a request goes out on it.
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=10)
        timeout = httpx.Timeout(30, connect=5)
        async with httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False, verify=NO_TLS) as opened:
            client = opened
            yield

    async def forward(request: Request) -> Response:
        if bypass_secret is not None and request.headers.get("x-vercel-protection-bypass") != bypass_secret:
            return PlainTextResponse("Authentication Required", status_code=401)
        serving = upstream()
        if serving is None or client is None:
            return _not_found()
        headers = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        body = await request.body()
        try:
            answer = await client.request(request.method, serving.url + path, headers=headers, content=body or None)
        except httpx.HTTPError as error:
            _note(serving, request, 502, type(error).__name__)
            return PlainTextResponse("An error occurred with this application.", status_code=502)
        _note(serving, request, answer.status_code, "")
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        kept.pop("content-encoding", None)
        return Response(answer.content, answer.status_code, kept)

    return Starlette(routes=[Route("/{path:path}", forward, methods=_METHODS)], lifespan=lifespan)


def _note(serving: Upstream, request: Request, status: int, message: str) -> None:
    domain = request.headers.get("host", "")
    level = "error" if status >= 500 else "info"
    serving.log.add(LogLine(request.method, request.url.path, status, domain, level, message))


def _not_found() -> JSONResponse:
    error = {"code": "DEPLOYMENT_NOT_FOUND", "message": "The deployment could not be found on Vercel."}
    return JSONResponse({"error": error}, status_code=404)
