"""Clocks: this machine's against those of the services and the databases."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from tasks.doctor.finding import Finding, bad, cannot_tell, good

# A header tells whole seconds, and an answer takes its time.
MOST_S = 30.0


class ServiceClocks:
    """Notes what time each service says that it is, as it answers.

    Args:
        now: this machine's clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._told: dict[str, tuple[datetime, datetime]] = {}

    def note(self, service: str, answer: httpx.Response) -> None:
        """Note the time of an answer; the first one of each service counts."""
        try:
            told = parsedate_to_datetime(answer.headers["Date"])
        except (KeyError, ValueError, TypeError):
            return
        self._told.setdefault(service, (self._now(), told.replace(tzinfo=told.tzinfo or UTC)))

    @property
    def told(self) -> Mapping[str, tuple[datetime, datetime]]:
        """By service: this machine's clock, and the service's at the same moment."""
        return dict(self._told)

    def findings(self, services: tuple[str, ...]) -> Iterator[Finding]:
        """What is told of each service's clock."""
        for service in services:
            line = f"clock of {service}"
            if service in self._told:
                yield skew_finding(line, *self._told[service])
            else:
                yield cannot_tell(line, f"{service} does not say what time it is")


def skew_finding(line: str, ours: datetime, theirs: datetime) -> Finding:
    """Whether two clocks tell the same time."""
    seconds = (ours - theirs).total_seconds()
    if abs(seconds) <= MOST_S:
        return good(line, "this machine's tells the same time")
    return bad(
        line,
        f"this machine's is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}: branches would expire at"
        " another time than asked for, and waits be misjudged",
        "let it be set by the network (`timedatectl set-ntp true`)",
    )
