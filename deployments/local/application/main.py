"""The application's server: one thread a connection, JSON in and out.

Run with PORT, DATABASE_URL_POOLED (or DATABASE_URL), EDGE_CONFIG and VERCEL_GIT_COMMIT_SHA in the environment.
"""

import json
import os
import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import agents
import conversations
import database
import psycopg
import psycopg_pool
from maintenance import Maintenance
from version import VERSION

COMMIT = os.environ.get("VERCEL_GIT_COMMIT_SHA", "")
RETRY_AFTER_S = 5
MAX_BODY_BYTES = 1_000_000

CONVERSATION = re.compile(r"/api/conversations/([0-9a-f-]{36})/messages")

maintenance = Maintenance(os.environ.get("EDGE_CONFIG", ""))


class Refused(Exception):
    """A request that cannot be answered as it was asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: without this the second waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    timeout = 120

    def do_GET(self) -> None:
        """Answer a read."""
        self._serve(self._read)

    def do_POST(self) -> None:
        """Answer a write, unless maintenance refuses it."""
        self._serve(self._write)

    def _serve(self, answer: Any) -> None:
        self._began = time.perf_counter()
        try:
            self._send(*answer())
        except Refused as refused:
            self._send(refused.status, {"error": str(refused)})
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            self._send(500, {"error": f"{type(error).__name__}: the database did not answer as it must"})

    def _read(self) -> tuple[int, Any]:
        url = urlsplit(self.path)
        if url.path == "/api/health":
            return self._health()
        if url.path == "/api/version":
            return 200, {"commit": COMMIT, "version": VERSION}
        if url.path == "/api/agents":
            return 200, agents.every()
        if url.path == "/api/conversations":
            return 200, conversations.newest(min(int(parse_qs(url.query).get("limit", ["20"])[0]), 100))
        if found := CONVERSATION.fullmatch(url.path):
            return 200, conversations.messages(UUID(found[1]))
        raise Refused(404, f"there is no {url.path}")

    def _write(self) -> tuple[int, Any]:
        body = self._body()
        if maintenance.on:
            return 503, {"error": "maintenance: writes are refused for a moment, reads go on"}
        path = urlsplit(self.path).path
        try:
            if path == "/api/users":
                return 201, {"id": agents.sign_up(body["email"], body["name"])}
            if path == "/api/agents":
                return 201, {"id": agents.create(body["slug"], body["name"], body["userEmail"])}
            if path == "/api/conversations":
                return 201, {"id": conversations.begin(body["userEmail"], body["agentSlug"], body["title"])}
            if found := CONVERSATION.fullmatch(path):
                return 201, {"id": conversations.say(UUID(found[1]), body["role"], body["content"])}
        except KeyError as error:
            raise Refused(400, f"the body has no {error}") from error
        except database.NotFound as error:
            raise Refused(404, str(error)) from error
        raise Refused(404, f"there is no {path}")

    def _health(self) -> tuple[int, Any]:
        try:
            database.ping()
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            return 503, {"status": "unhealthy", "database": {"status": "error", "error": type(error).__name__}}
        return 200, {
            "status": "healthy",
            "database": {"status": "ok"},
            "maintenance": maintenance.on,
            "commit": COMMIT,
            "timestamp": datetime.now(UTC).isoformat(),
        }

    def _body(self) -> dict[str, str]:
        length = int(self.headers.get("Content-Length", "0"))
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            raise Refused(413, "the body is too large")
        try:
            read = json.loads(self.rfile.read(length) or b"{}")
        except ValueError as error:
            raise Refused(400, "the body is not JSON") from error
        if not isinstance(read, dict):
            raise Refused(400, "the body is not an object")
        return {str(key): str(value) for key, value in cast("dict[str, object]", read).items()}

    def _send(self, status: int, answer: Any) -> None:
        body = json.dumps(answer, default=_plain).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Response-Time", f"{(time.perf_counter() - self._began) * 1000:.0f}ms")
        if status == 503:
            self.send_header("Retry-After", str(RETRY_AFTER_S))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gave it
        """Leave the log of requests to the platform."""


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return str(value)


class Server(ThreadingHTTPServer):
    """The server; its threads end with it."""

    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    database.open_pool(os.environ.get("DATABASE_URL_POOLED") or os.environ.get("DATABASE_URL", ""))
    maintenance.start()
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
