"""A scenario of the demo: v1 live, users at work, a release, and what must hold at its end."""

import os
import threading
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from deployments.local.traffic.figures import TrafficReport
from deployments.local.traffic.run import run_traffic
from flows.cli.console import demo_checks, flow_runs
from flows.cli.console.command_errors import CommandFailed

console = Console(highlight=False)

WATCH_S = 20
FIRST_WATCH_S = 5
TRAFFIC_S = 600.0
USERS = 12
RATE = 30.0
RUN_DEADLINE_S = 420.0

REFS = {
    "release": "v2",
    "bad-migration": "v2-bad-migration",
    "app-crash": "v2-crashes",
    "data-corruption": "v2-corrupts",
    "killed": "v2",
    "quiet": "v2",
}
# Their rehearsal would stop them before production was touched, and there would be nothing to roll back.
UNREHEARSED = {"bad-migration", "data-corruption"}


def run_scenario(scenario: str, state: Path) -> None:
    """Bring v1 live, start the traffic, release the scenario's ref and check everything that must hold."""
    before, acknowledged = begin(state)
    ref = REFS[scenario]
    with traffic(acknowledged) as running:
        announce(ref)
        if scenario in UNREHEARSED:
            console.print("  without its rehearsal, which would have stopped it before it touched production")
        run = release(ref, WATCH_S, rehearse=scenario not in UNREHEARSED)
    end(demo_checks.DemoResult(scenario, run, running.result(), before, demo_checks.read_production(), acknowledged))


def begin(state: Path) -> tuple[demo_checks.ProductionSnapshot, Path]:
    """Bring v1 live.

    Returns:
        Production as it is then, and the file that takes every write that a user was told is done.
    """
    console.rule("first release: v1 into an empty production")
    first = release("v1", FIRST_WATCH_S)
    if not first.succeeded:
        raise CommandFailed(f"the first release did not succeed: {first.message}")
    acknowledged = state / "acknowledged.txt"
    acknowledged.unlink(missing_ok=True)
    return demo_checks.read_production(), acknowledged


def announce(ref: str) -> None:
    """Say what is released under traffic."""
    console.rule(f"release of {ref} under traffic ({USERS} users, {RATE:.0f} requests/s)")


def end(result: demo_checks.DemoResult) -> None:
    """Show what came of a scenario, and fail where something does not hold that must."""
    console.rule("outcome")
    console.print(demo_checks.summary(result))
    found = demo_checks.unmet_expectations(result)
    if found:
        raise CommandFailed("; ".join(found))
    # Without KEEP=1 the server ends with the demo.
    address = flow_runs.ui_address(result.run.run_id)
    console.print(f"the run in Prefect's UI (KEEP=1 leaves it up): {address}", soft_wrap=True)
    console.print(result.release.summary, soft_wrap=True)


@contextmanager
def traffic(acknowledged: Path) -> Generator[Future[TrafficReport]]:
    """Users at work while the block runs; the block begins once each of them has written something."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(
            run_traffic,
            os.environ["PRODUCTION_URL"],
            users=USERS,
            rate=RATE,
            seconds=TRAFFIC_S,
            acknowledged=acknowledged,
            stop=stop,
        )
        try:
            while not running.done() and _lines(acknowledged) < USERS * 4:
                time.sleep(0.1)
            yield running
        finally:
            stop.set()


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def release(ref: str, watch_seconds: int, *, rehearse: bool = True) -> flow_runs.FollowedRun:
    """Start a release through Prefect's API and follow it."""
    request = {"ref": ref, "watch_seconds": watch_seconds, "rehearse": rehearse}
    run = flow_runs.trigger("release/release", {"request": request})
    return flow_runs.follow(run, console, deadline_s=RUN_DEADLINE_S)
