"""Traffic on the released application: users who read and write at a steady rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from deployments.local.errors import TrafficError
from deployments.local.traffic.figures import Tally, TrafficReport
from deployments.local.traffic.user import Pace, User, connect

_PROGRESS_S = 1
_AGENTS = ("guide", "planner", "librarian")
_KEEPER = {"email": "keeper@example.com", "name": "Keeper"}


def run_traffic(
    url: str,
    *,
    users: int,
    rate: float,
    seconds: float,
    acknowledged: Path,
    on_progress: Callable[[TrafficReport], None] | None = None,
    stop: threading.Event | None = None,
) -> TrafficReport:
    """Send requests at a steady total rate, whatever the answers, until the time is over or `stop` is set.

    Args:
        url: the production address.
        users: how many people there are; each has one connection and its share of the rate.
        rate: requests a second of all users together; 60 % read, 40 % write, nothing is tried twice.
        seconds: how long; after that no request is sent.
        acknowledged: the file that the time and id of each acknowledged message are appended to.
        on_progress: called about once a second with the figures so far.
        stop: ends the traffic early.

    Returns:
        The figures, once every user has its last answer.

    Raises:
        TrafficError: the application cannot be reached, or lacks agents and takes none.
    """
    ended = stop or threading.Event()
    agents = _prepare(url)
    with Tally(users, acknowledged) as tally:
        start_s = time.monotonic()
        paces = [Pace(start_s + number / rate, users / rate, start_s + seconds) for number in range(users)]
        crowd = [
            User(url, number, agents[number % len(agents)], pace, tally, ended) for number, pace in enumerate(paces)
        ]
        for user in crowd:
            user.start()
        try:
            _wait(crowd, tally, on_progress)
        except BaseException:
            ended.set()
            _wait(crowd, tally, None)
            raise
        return tally.report()


def _wait(crowd: list[User], tally: Tally, on_progress: Callable[[TrafficReport], None] | None) -> None:
    told_s = time.monotonic()
    for user in crowd:
        while user.is_alive():
            user.join(0.1)
            if on_progress and time.monotonic() - told_s >= _PROGRESS_S:
                told_s = time.monotonic()
                on_progress(tally.report())


def _prepare(url: str) -> tuple[str, ...]:
    """Make sure that there are agents to talk with, and return their slugs."""
    with connect(url) as client:
        try:
            found = _slugs(client)
            if found:
                return found
            client.post("/api/users", json=_KEEPER).raise_for_status()
            for slug in _AGENTS:
                agent = {"slug": slug, "name": slug.title(), "userEmail": _KEEPER["email"]}
                client.post("/api/agents", json=agent).raise_for_status()
        except httpx.HTTPStatusError as error:
            raise TrafficError(url, f"{error.request.url.path} answered {error.response.status_code}") from error
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise TrafficError(url, str(error) or type(error).__name__) from error
    return _AGENTS


def _slugs(client: httpx.Client) -> tuple[str, ...]:
    agents = client.get("/api/agents").raise_for_status().json()
    return tuple(str(agent["slug"]) for agent in agents)
