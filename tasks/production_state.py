"""The present state of production, each part asked for by itself: a service that does not answer hides no other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from deployments.application import endpoints
from deployments.settings import Settings
from migrations.database.session import reader
from migrations.history.revisions import current_revisions
from tasks import connections

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class ProductionState:
    """Production as it stands; None where it cannot be told.

    Attributes:
        deployment_id: the deployment that its address serves; empty where it serves none.
        revisions: the revisions of its database.
        maintenance: whether the application refuses writes.
        protected: whether its branch is protected.
    """

    deployment_id: str | None
    revisions: tuple[str, ...] | None
    maintenance: bool | None
    protected: bool | None

    @property
    def description(self) -> str:
        """All of it in one sentence."""
        revisions = None if self.revisions is None else ", ".join(self.revisions) or "no revision"
        said = (
            "what production serves cannot be told"
            if self.deployment_id is None
            else f"production serves {self.deployment_id or 'no deployment'}",
            "where its schema stands cannot be told" if revisions is None else f"the schema stands at {revisions}",
            _MAINTENANCE[self.maintenance],
            _PROTECTED[self.protected],
        )
        return ", ".join(one for one in said if one)


_MAINTENANCE = {
    True: "maintenance mode is on and writes are refused",
    False: "",
    None: "whether maintenance mode is on cannot be told",
}
_PROTECTED = {True: "", False: "its branch is unprotected", None: "whether its branch is protected cannot be told"}


def read() -> ProductionState:
    """Ask for everything that stands; never raises."""
    settings = ask_or_none("the settings", connections.settings)
    if settings is None:
        return ProductionState(None, None, None, None)
    return ProductionState(
        deployment_id=serving_deployment_id(settings),
        revisions=ask_or_none("the revisions of production", lambda: _revisions(settings)),
        maintenance=maintenance(settings),
        protected=protected(settings),
    )


def serving_deployment_id(settings: Settings) -> str | None:
    """The deployment that production's address serves; empty where it serves none, None where it cannot be told."""

    def ask() -> str:
        found = connections.vercel(settings).production_deployment()
        return found.id if found else ""

    return ask_or_none("the serving deployment", ask)


def maintenance(settings: Settings) -> bool | None:
    """Whether the application says that it refuses writes; None where it cannot be told."""
    found = endpoints.health(connections.production_url(settings), bypass=None)
    return None if found.status == "no answer" else found.maintenance


def protected(settings: Settings) -> bool | None:
    """Whether Neon says that production's branch is protected; None where it cannot be told."""
    return ask_or_none(
        "the protection of production's branch", lambda: connections.production_branch(settings).protected
    )


def _revisions(settings: Settings) -> tuple[str, ...]:
    with reader(connections.owner_dsn(settings, connections.production_branch(settings))) as connection:
        return current_revisions(connection)


def ask_or_none(what: str, ask: Callable[[], T]) -> T | None:
    """Ask for one thing; None where it cannot be told, which is logged.

    Args:
        what: what is asked for, in words.
        ask: asks for it.
    """
    try:
        return ask()
    except Exception as error:
        log.warning("%s cannot be told: %s", what, error)
        return None
