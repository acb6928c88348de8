"""A platform that runs, as a test sees it: its settings, its faults, and what its services were asked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import httpx
from pydantic import TypeAdapter

from deployments.local.errors import LocalPlatformError, PlatformDownError
from deployments.local.hosting.faults import Fault, SeenRequest
from deployments.local.hosting.loopback import NO_TLS
from deployments.local.hosting.state import PlatformStatus, StateFolder

Service = Literal["neon", "vercel", "slack"]
SERVICES: tuple[Service, ...] = ("neon", "vercel", "slack")

_requests = TypeAdapter(tuple[SeenRequest, ...])
_faults = TypeAdapter(tuple[Fault, ...])
_messages = TypeAdapter(tuple[dict[str, object], ...])


class RunningPlatform:
    """The platform of a state folder.

    Args:
        state: the folder.

    Raises:
        PlatformDownError: none is up there.
    """

    def __init__(self, state: Path) -> None:
        folder = StateFolder(state)
        described = folder.described()
        if described is None:
            raise PlatformDownError(state)
        self.status: PlatformStatus = described
        self.env = folder.read_environment()

    def fault(self, service: Service, fault: Fault) -> None:
        """Let a service spoil its next matching calls."""
        self._ask("POST", service, "/_local/faults", fault.model_dump_json())

    def waiting_faults(self, service: Service) -> tuple[Fault, ...]:
        """Return the faults that a service still waits to spoil calls with, each with the times that are left."""
        return _faults.validate_json(self._ask("GET", service, "/_local/faults"))

    def clear_faults(self) -> None:
        """Let every service forget its faults and the requests it has seen."""
        for service in SERVICES:
            self._ask("DELETE", service, "/_local/faults")

    def requests(self, service: Service) -> tuple[SeenRequest, ...]:
        """Return the requests that a service has seen since its faults were cleared, oldest first."""
        return _requests.validate_json(self._ask("GET", service, "/_local/requests"))

    def slack_messages(self) -> tuple[dict[str, object], ...]:
        """Return what Slack was sent, oldest first."""
        return _messages.validate_json(self._ask("GET", "slack", "/messages"))

    def _ask(self, method: str, service: Service, path: str, body: str | None = None) -> bytes:
        url = {"neon": self.status.neon_url, "vercel": self.status.vercel_url, "slack": self.status.slack_url}[service]
        headers = {"content-type": "application/json"} if body else None
        reply = httpx.request(
            method, url + path, content=body, headers=headers, trust_env=False, timeout=10, verify=NO_TLS
        )
        if not reply.is_success:
            raise LocalPlatformError(f"{service} answered {reply.status_code} to {method} {path}: {reply.text[:300]}")
        return reply.content
