"""Retries without their waits, and small servers on the loopback interface."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stamina


@pytest.fixture(autouse=True)
def no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@dataclass(frozen=True)
class Asked:
    """A request that a small server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Answer:
    """What it answers."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict[str, str])


@contextmanager
def served(answer: Callable[[Asked], Answer]) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = answer(Asked(self.command, self.path, headers, body))
            self.send_response(told.status)
            for name, value in {**told.headers, "Content-Length": str(len(told.body.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Asked], Any]], str]]:
    """Start a server that answers with status, body and maybe headers; return its address."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(served(lambda asked: Answer(*answer(asked))))
