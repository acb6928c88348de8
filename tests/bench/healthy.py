"""From a failing check to a healthy production: each rollback path, beside a person's calls of the same services.

What a person does first, to notice, to decide and to find the right build and the right moment, is not measured: only
how long the calls take once they are typed. Nor is what they leave out: the checks, the receipt, the record.
"""

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deployments.application import endpoints
from deployments.ledger import Step
from flows.cli.console import flow_runs
from tasks import connections, record
from tasks.acts import Act
from tests.users_at_work import users_at_work

# What ends each path for users: from then on they are served, and may write.
HEALTHY = (Act.VERIFY_UNCHANGED, Act.ROLL_BACK_APPLICATION, Act.MAINTENANCE_OFF)
DEADLINE_S = 420.0

console = Console(highlight=False)


def fail(ref: str, folder: Path, *, rehearse: bool, reset_staging: bool) -> float:
    """Release a ref that fails under traffic; seconds from its failing check until production was healthy."""
    settings = connections.settings()
    with users_at_work(connections.production_url(settings), folder / f"{ref}.txt"):
        request = {"ref": ref, "watch_seconds": 20, "rehearse": rehearse, "reset_staging": reset_staging}
        flow_runs.follow(flow_runs.trigger("release/release", {"request": request}), console, deadline_s=DEADLINE_S)
    with connections.ledger(settings) as ledger:
        newest = ledger.releases(target=settings.target, limit=1)[0]
        steps = ledger.steps(newest.id)
    if newest.state != "rolled_back":
        raise SystemExit(f"{ref} was not rolled back: {newest.summary}")
    decided = next(one for one in steps if one.step == record.ROLLBACK_PATH)
    return (_last(steps).at - decided.at).total_seconds()


def _last(steps: tuple[Step, ...]) -> Step:
    return [one for one in steps if one.step in HEALTHY and one.event == "done"][-1]


def by_hand(*, restore: Callable[[], None] | None = None) -> float:
    """The calls of a person: restore production where it is to be, and let the build before serve again; in seconds."""
    settings = connections.settings()
    client = connections.vercel(settings, in_release=False)
    serving, before = client.production_deployment(), _served_before()
    assert serving is not None
    began = time.monotonic()
    if restore is not None:
        restore()
    client.rollback(before)
    sha = client.deployment(before).commit_sha
    while endpoints.health(connections.production_url(settings), bypass=None).commit_sha != sha:
        time.sleep(0.05)
    took = time.monotonic() - began
    client.rollback(serving.id)
    return took


def _served_before() -> str:
    """The deployment that production served before the newest release that succeeded."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        for each in ledger.releases(target=settings.target, limit=50):
            point = record.restore_point(each.id)
            if each.state == "succeeded" and point is not None and point.serving_deployment_id:
                return point.serving_deployment_id
    raise SystemExit("no release has succeeded over another one")


def show(found: dict[str, tuple[float, float | None]]) -> None:
    """Print what was measured.

    Args:
        found: seconds by rollback path: from the failing check to healthy, and a person's calls alone, where there are
            any to make.
    """
    table = Table("from the failing check to healthy", "by itself s", "a person's calls alone s")
    for path, (itself, person) in found.items():
        table.add_row(path, f"{itself:.1f}", "none" if person is None else f"{person:.1f}")
    console.print(table)
