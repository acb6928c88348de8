"""One user of the released application: turn after turn, on one connection, nothing tried twice."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Literal

import httpx

from deployments.local.traffic.figures import Tally

_TIMEOUT_S = 10
_MESSAGES_A_CONVERSATION = 20

# Four writes in ten requests.
_TURNS: tuple[Literal["write", "conversations", "messages", "agents"], ...] = (
    "write",
    "conversations",
    "messages",
    "write",
    "conversations",
    "write",
    "messages",
    "agents",
    "write",
    "conversations",
)


@dataclass(frozen=True)
class Pace:
    """When the requests of a user are due, on the monotonic clock."""

    first_s: float
    interval_s: float
    end_s: float

    def due_s(self, turn: int) -> float:
        """Return when a turn is due, counted from 0."""
        return self.first_s + turn * self.interval_s

    @property
    def turns(self) -> int:
        """Return how many turns are due before the end."""
        return max(0, int(-((self.first_s - self.end_s) // self.interval_s)))


@cache
def _certificates() -> ssl.SSLContext:
    """Read them once: a crowd comes at the same moment."""
    return httpx.create_ssl_context(trust_env=False)


def connect(url: str) -> httpx.Client:
    """Return a client with one connection, kept open."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30)
    return httpx.Client(base_url=url, timeout=_TIMEOUT_S, limits=limits, trust_env=False, verify=_certificates())


class User(threading.Thread):
    """A user who signs up, starts conversations and writes and reads messages."""

    def __init__(self, url: str, number: int, agent: str, pace: Pace, tally: Tally, ended: threading.Event) -> None:
        super().__init__(name=f"traffic-{number}", daemon=True)
        self._client = connect(url)
        self._number = number
        self._email = f"traveller-{number}@example.com"
        self._agent = agent
        self._pace = pace
        self._tally = tally
        self._ended = ended
        self._signed_up = False
        self._conversation: str | None = None
        self._messages = 0

    def run(self) -> None:
        """Take each turn when it is due, or at once where it is late, until the end."""
        with self._client:
            for turn in range(self._pace.turns):
                due_s = self._pace.due_s(turn)
                ahead_s = due_s - time.monotonic()
                if self._ended.wait(max(0.0, ahead_s)):
                    return
                now_s = time.monotonic()
                if now_s >= self._pace.end_s:
                    self._tally.leave_unsent(self._pace.turns - turn)
                    return
                # Behind an answer that came late, the wait counts as well; a late awakening of this thread does not.
                self._take(_TURNS[(turn + self._number) % len(_TURNS)], now_s if ahead_s > 0 else due_s)

    def _take(self, turn: Literal["write", "conversations", "messages", "agents"], since_s: float) -> None:
        if turn == "write":
            self._write(since_s)
        elif turn == "messages" and self._conversation:
            self._ask(since_s, "GET", f"/api/conversations/{self._conversation}/messages")
        elif turn == "agents":
            self._ask(since_s, "GET", "/api/agents")
        else:
            self._ask(since_s, "GET", "/api/conversations?limit=20")

    def _write(self, since_s: float) -> None:
        if not self._signed_up:
            reply = self._ask(
                since_s, "POST", "/api/users", {"email": self._email, "name": f"Traveller {self._number}"}
            )
            self._signed_up = reply is not None
        elif self._conversation is None:
            body = {"userEmail": self._email, "agentSlug": self._agent, "title": f"A question of {self._email}"}
            reply = self._ask(since_s, "POST", "/api/conversations", body)
            self._conversation = str(reply.json()["id"]) if reply else None
            self._messages = 0
        else:
            self._say_something(since_s, self._conversation)

    def _say_something(self, since_s: float, conversation: str) -> None:
        body = {"role": "USER", "content": f"message {self._messages} of {self._email}"}
        reply = self._ask(since_s, "POST", f"/api/conversations/{conversation}/messages", body)
        if reply:
            self._tally.acknowledge(str(reply.json()["id"]))
            self._messages += 1
            if self._messages >= _MESSAGES_A_CONVERSATION:
                self._conversation = None

    def _ask(self, since_s: float, method: str, path: str, body: dict[str, str] | None = None) -> httpx.Response | None:
        """Send one request, count it, and return the answer where it is a good one."""
        outcome: httpx.Response | httpx.HTTPError
        try:
            outcome = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            outcome = error
        self._tally.answered(f"{method} {path}", (time.monotonic() - since_s) * 1000, outcome)
        if not isinstance(outcome, httpx.Response):
            return None
        if outcome.status_code == HTTPStatus.NOT_FOUND:
            # A restore may have taken back this user or conversation: begin again.
            self._signed_up, self._conversation = False, None
        return outcome if outcome.is_success else None
