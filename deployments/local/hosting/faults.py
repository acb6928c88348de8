"""Faults on request: each service of the local platform can be told to fail, delay or cut the next matching call."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.local.hosting.spoiled_work import SpoiledWork, spoiled_work

_REQUESTS_KEPT = 10_000


def _is_regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from error
    return value


class Fault(BaseModel):
    """What goes wrong with the next matching calls.

    `before` spoils the call before the service sees it; `after` lets the effect happen and spoils the reply. Half of
    the body is sent with `truncated`, as if it were the whole. With `work` the call is accepted, and what it begins
    fails without an effect, or goes on until the faults are cleared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str | None = None
    path: Annotated[str, AfterValidator(_is_regular_expression)] = ""
    when: Literal["before", "after"] = "before"
    status: int | None = Field(default=None, ge=200, le=599)
    body: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    delay_s: float = Field(default=0, ge=0, le=300)
    cut: bool = False
    truncated: bool = False
    work: Literal["failed", "never"] | None = None
    times: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _does_something(self) -> Fault:
        if not (self.status or self.cut or self.delay_s or self.truncated or self.work):
            raise ValueError("a fault needs a status, a delay_s, cut, truncated or work")
        if self.truncated and self.when == "before":
            raise ValueError("an answer that is truncated comes after")
        return self

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a call is one of those that this fault spoils."""
        return (self.method is None or self.method.upper() == method) and re.search(self.path, path) is not None


class SeenRequest(BaseModel):
    """A request that came in: its status is None where no answer was given (yet)."""

    model_config = ConfigDict(frozen=True)

    method: str
    path: str
    status: int | None


class Faults:
    """The faults that wait for their call, and the requests seen; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int]] = []
        self._requests: deque[SeenRequest] = deque(maxlen=_REQUESTS_KEPT)
        self._cleared = threading.Event()

    def add(self, fault: Fault) -> None:
        """Let a fault wait for its next matching calls, behind those that wait already."""
        with self._lock:
            self._waiting.append((fault, fault.times))

    def clear(self) -> None:
        """Forget all waiting faults and all requests seen."""
        with self._lock:
            self._waiting.clear()
            self._requests.clear()
            self._cleared.set()
            self._cleared = threading.Event()

    def waiting(self) -> tuple[Fault, ...]:
        """Return the faults that wait, with the `times` that are left of each."""
        with self._lock:
            return tuple(fault.model_copy(update={"times": left}) for fault, left in self._waiting)

    def requests(self) -> tuple[SeenRequest, ...]:
        """Return the newest requests, oldest first."""
        with self._lock:
            return tuple(self._requests)

    def take(self, method: str, path: str) -> Fault | None:
        """Use up one time of the first fault that matches a call."""
        with self._lock:
            for index, (fault, left) in enumerate(self._waiting):
                if fault.matches(method, path):
                    self._waiting[index : index + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return None

    def work_of(self, fault: Fault) -> SpoiledWork | None:
        """What becomes of the work that a spoiled call begins; None where nothing is spoiled about it."""
        with self._lock:
            return SpoiledWork(fault.work, self._cleared) if fault.work is not None else None

    def record(self, method: str, path: str, status: int | None) -> None:
        """Note a request that has been answered, or left without an answer."""
        with self._lock:
            self._requests.append(SeenRequest(method=method, path=path, status=status))


def install_faults(app: FastAPI) -> Faults:
    """Put faults in front of an application, before it serves its first request.

    The application gets POST, GET and DELETE `/_local/faults` and GET `/_local/requests`, which need no authorization
    and are never spoiled themselves. With `cut` the connection is closed without an answer (under uvicorn).
    """
    faults = Faults()
    build = app.build_middleware_stack

    def build_behind_faults() -> ASGIApp:
        # The outermost place of all: a middleware added in the ordinary way sees a wrapped `send`, without transport.
        return _FaultMiddleware(build(), faults)

    app.build_middleware_stack = build_behind_faults
    return faults


def _control(faults: Faults) -> FastAPI:
    control = FastAPI(title="faults", docs_url=None, redoc_url=None, openapi_url=None)

    @control.post("/_local/faults", status_code=201)
    def add(fault: Fault) -> Fault:
        faults.add(fault)
        return fault

    @control.get("/_local/faults")
    def waiting() -> list[Fault]:
        return list(faults.waiting())

    @control.delete("/_local/faults", status_code=204)
    def clear() -> Response:
        faults.clear()
        return Response(status_code=204)

    @control.get("/_local/requests")
    def requests() -> list[SeenRequest]:
        return list(faults.requests())

    return control


class _FaultMiddleware:
    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults
        self._control = _control(faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith("/_local/"):
            await self._control(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = str(scope["method"]), str(scope["path"])
        fault = self._faults.take(method, path)
        status: int | None = None

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                # Noted before it is sent, so that whoever has the answer finds the request in the list.
                status = int(message["status"])
                self._faults.record(method, path, status)
            await send(message)

        try:
            if fault is not None:
                spoiled_work.set(self._faults.work_of(fault))
            if fault is None:
                await self._app(scope, receive, watch)
            elif fault.when == "before":
                await self._spoil_before(fault, scope, receive, watch, send)
            else:
                await self._app(scope, receive, _spoiled_reply(fault, watch, send))
        finally:
            if status is None:
                self._faults.record(method, path, None)

    async def _spoil_before(self, fault: Fault, scope: Scope, receive: Receive, watch: Send, send: Send) -> None:
        await asyncio.sleep(fault.delay_s)
        if fault.cut:
            await _cut(send)
        elif fault.status is not None:
            await _answer(fault, watch)
        else:
            await self._app(scope, receive, watch)


def _spoiled_reply(fault: Fault, watch: Send, send: Send) -> Send:
    """Return a `send` that delays, replaces or swallows the reply of the application."""
    replaced = False
    start: Message | None = None

    async def spoil(message: Message) -> None:
        nonlocal replaced, start
        if message["type"] == "http.response.start":
            await asyncio.sleep(fault.delay_s)
            if fault.cut:
                replaced = True
                await _cut(send)
            elif fault.status is not None:
                replaced = True
                await _answer(fault, watch)
            elif fault.truncated:
                start = message
                return
        if start is not None and message["type"] == "http.response.body":
            await _answer_half(start, message, watch)
            replaced, start = True, None
        elif not replaced:
            await watch(message)

    return spoil


async def _answer_half(start: Message, body: Message, send: Send) -> None:
    half = body.get("body", b"")[: len(body.get("body", b"")) // 2]
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    await send({**start, "headers": [*headers, (b"content-length", str(len(half)).encode())]})
    await send({"type": "http.response.body", "body": half})


async def _answer(fault: Fault, send: Send) -> None:
    body = fault.body.encode()
    headers = {
        "content-type": "text/plain; charset=utf-8",
        **{name.lower(): value for name, value in fault.headers.items()},
    }
    headers["content-length"] = str(len(body))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _cut(send: Send) -> None:
    """Close the connection of a request without an answer.

    Source: uvicorn hands over the bound `send` of an object that holds the connection's transport.
    """
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionAbortedError("a fault cut this connection")
    transport.abort()
    await asyncio.sleep(0)  # the protocol learns of it in the next turn of the loop, and then sends no 500 of its own
