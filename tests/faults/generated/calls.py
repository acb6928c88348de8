"""Every call of a service that a flow makes, by the act that it makes it in."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from deployments.local.supervisor.running import RunningPlatform, Service

_FILE = Path(__file__).with_name("calls.txt")
_APPLICATIONS_OWN = "/item/"


@dataclass(frozen=True)
class Call:
    """A call of a service.

    Attributes:
        flow: what makes it.
        act: the act that the ledger has as the newest; empty before the first.
        moment: how far that act is.
        service: whom it asks.
        method: HTTP method.
        path: path, with `*` for names.
    """

    flow: str
    act: str
    moment: str
    service: Service
    method: str
    path: str

    def __str__(self) -> str:
        return " | ".join((self.flow, self.act or "-", self.moment, self.service, self.method, self.path))

    @property
    def changes(self) -> bool:
        """Whether it asks for a change."""
        return self.method != "GET"

    @property
    def begins_work(self) -> bool:
        """Whether it is answered before what it asks for is done."""
        return (
            self.changes
            and not self.path.endswith(("/env", "/items"))
            and self.method != "PATCH"
            and self.service != "slack"
        )

    @property
    def pattern(self) -> str:
        """What matches its path."""
        return f"^{re.escape(self.path)}$".replace(r"\*", "[^/]+") if self.service != "slack" else "^/services/"


def _call(line: str) -> Call:
    flow, act, moment, service, method, path = line.split(" | ")
    return Call(flow, "" if act == "-" else act, moment, service, method, path)  # pyright: ignore[reportArgumentType]


CALLS = tuple(_call(line) for line in _FILE.read_text().splitlines())


def made(platform: RunningPlatform, flow: str, noted: Path) -> set[Call]:
    """The calls that a flow has made, from what it noted at each moment of its acts."""
    moments = [json.loads(line) for line in noted.read_text().splitlines()]
    found: set[Call] = set()
    for index, (act, moment, seen) in enumerate(moments):
        for service, first in seen.items():
            end = moments[index + 1][2][service] if index + 1 < len(moments) else None
            found |= {
                Call(flow, act, moment, service, one.method, without_names(one.path))
                for one in platform.requests(service)[first:end]
                if _APPLICATIONS_OWN not in one.path
            }
    return found


def without_names(path: str) -> str:
    """A path with `*` for each name in it."""
    if path.startswith("/services/"):
        return "/services/*"
    return re.sub(
        r"/(projects|branches|endpoints|operations|deployments|promote|rollback|edge-config)/[^/]+", r"/\1/*", path
    )
