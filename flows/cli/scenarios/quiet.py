"""A night without users: nobody can tell whether the new build is good, so a person decides, and releases again."""

import subprocess
import sys
from pathlib import Path

from deployments.ledger import Release
from flows.cli.console import demo_checks, scenario
from flows.cli.console.command_errors import CommandFailed
from tasks import connections
from tasks.acts import Act

console = scenario.console

REF = scenario.REFS["quiet"]


def run_scenario(state: Path) -> None:
    """Release without users, keep what that left, and release again once there are users."""
    before, acknowledged = scenario.begin(state)
    console.rule(f"release of {REF} at night: nobody uses the application")
    scenario.release(REF, scenario.WATCH_S)
    held = _held()
    console.print(f"  {held.summary}", soft_wrap=True, markup=False)
    console.rule(f"pilotage release keep {held.id}")
    _keep(held)
    with scenario.traffic(acknowledged) as running:
        scenario.announce(REF)
        run = scenario.release(REF, scenario.WATCH_S)
    _refuse_unwatched()
    scenario.end(
        demo_checks.DemoResult("quiet", run, running.result(), before, demo_checks.read_production(), acknowledged)
    )


def _held() -> Release:
    """The release that was held for a person."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        newest = ledger.releases(target=settings.target, limit=1)[0]
    if newest.state != "undecided":
        raise CommandFailed(f"a release that nobody used is {newest.state}, not undecided: {newest.summary}")
    return newest


def _refuse_unwatched() -> None:
    """Fail where the build was not watched again, now that there are users: then nobody knows whether it is good."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        newest = ledger.releases(target=settings.target, limit=1)[0]
        watched = [one for one in ledger.steps(newest.id) if (one.step, one.event) == (Act.WATCH_PRODUCTION, "done")]
    if not watched:
        raise CommandFailed(f"the build was not watched again: {newest.summary}")


def _keep(held: Release) -> None:
    """Keep what it left in production, with the command that a person has for it."""
    argv = [sys.executable, "-m", "flows.cli", "release", "keep", held.id, "--yes", "--reason", "looked at by hand"]
    done = subprocess.run(argv, check=False)
    if done.returncode:
        raise CommandFailed(f"what {held.id} left could not be kept")
