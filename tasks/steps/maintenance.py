"""Maintenance mode: writes are refused while production's rows are put right; reads go on."""

import logging

import stamina

from deployments.application import endpoints
from deployments.settings import Settings
from tasks import connections
from tasks.acts import Act
from tasks.errors import RollbackFailed
from tasks.record import recorded_step
from tasks.step import step

log = logging.getLogger(__name__)

KEY = "maintenance"
PROPAGATION_S = 60.0


@step("maintenance mode", timeout_s=180)
def set_maintenance(release_id: str, *, on: bool) -> None:
    """Switch maintenance mode and wait until the application says so itself.

    Raises:
        RollbackFailed: the application did not take it within a minute.
    """
    settings = connections.settings()
    with recorded_step(release_id, Act.MAINTENANCE_ON if on else Act.MAINTENANCE_OFF, maintenance=on):
        connections.vercel(settings).set_config(settings.vercel_config_id, KEY, value=on)
        _wait_for(settings, on=on)


def _wait_for(settings: Settings, *, on: bool) -> None:
    try:
        for attempt in stamina.retry_context(on=_NotYet, attempts=None, timeout=PROPAGATION_S, wait_max=1.0):
            with attempt:
                found = endpoints.health(connections.production_url(settings), bypass=None)
                if found.maintenance is not on:
                    raise _NotYet(found.detail)
    except _NotYet as error:
        raise RollbackFailed(
            f"maintenance mode is switched {'on' if on else 'off'}, but the application at "
            f"{connections.production_url(settings)} did not follow within {PROPAGATION_S:.0f} s: {error}"
        ) from error


class _NotYet(Exception):
    """The application has not seen the switch yet."""
