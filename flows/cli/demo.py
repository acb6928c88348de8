"""`pilotage local demo`: a release on the local platform from nothing, and what comes of it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.local import platform
from deployments.local.traffic import TrafficReport, run_traffic
from flows.cli import checklist, failing, outcome
from flows.cli.place import CLONE, STATE

console = Console(highlight=False)

WATCH_S = 20
FIRST_WATCH_S = 5
TRAFFIC_S = 600.0
USERS = 12
RATE = 60.0
RUN_DEADLINE_S = 420.0


class Scenario(StrEnum):
    """What is released, and so what happens."""

    RELEASE = "release"
    BAD_MIGRATION = "bad-migration"
    APP_CRASH = "app-crash"
    DATA_CORRUPTION = "data-corruption"


REFS = {
    Scenario.RELEASE: "v2",
    Scenario.BAD_MIGRATION: "v2-bad-migration",
    Scenario.APP_CRASH: "v2-crashes",
    Scenario.DATA_CORRUPTION: "v2-corrupts",
}


class DemoFailed(Exception):
    """The demo did not end as it must; the message says what was expected and what was found."""


def demo(
    scenario: Annotated[Scenario, typer.Option(help="What is released.")] = Scenario.RELEASE,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up to look at.")] = False,
    state: Annotated[Path, typer.Option(help="Folder of the local platform.")] = STATE,
) -> None:
    """Bring the local platform up, release to it under traffic, and check what came of it."""
    try:
        with running_platform(state, keep=keep):
            show(scenario, state)
            if keep:
                console.print(f"\nEverything stays up. Settings: {state / 'local.env'}. To end it: pilotage local down")
    except KeyboardInterrupt:
        console.print("interrupted: the local platform was taken down")
        raise typer.Exit(130) from None
    except (DemoFailed, platform.LocalPlatformError, failing.CommandFailed, TimeoutError) as error:
        console.print(f"[red]demo failed:[/] {error}", soft_wrap=True)
        raise typer.Exit(1) from None


@contextmanager
def running_platform(state: Path, *, keep: bool) -> Generator[None]:
    """The local platform with Prefect's server and worker, taken down at the end unless it ends well and is to stay."""
    if platform.down(state):
        console.print("took down what an earlier run had left")
    console.rule("local platform")
    platform.up(state, detach=True, pipeline=True, on_progress=lambda line: console.print(f"  {line}"))
    ended_well = False
    try:
        os.environ.update(platform.read_env(state))
        deploy()
        yield
        ended_well = True
    finally:
        if not (keep and ended_well):
            platform.down(state)


def deploy() -> None:
    """Register the flows of prefect.yaml with the server."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"prefect deploy failed:\n{done.stdout}\n{done.stderr}")
    console.print("  flows deployed: release, rollback, drift-check")


def show(scenario: Scenario, state: Path) -> None:
    """Bring v1 live, start the traffic, release the scenario's ref and check everything that must hold."""
    console.rule("first release: v1 into an empty production")
    first = release("v1", FIRST_WATCH_S)
    if not first.succeeded:
        raise DemoFailed(f"the first release did not succeed: {first.message}")
    before = outcome.look()
    ref = REFS[scenario]
    acknowledged = state / "acknowledged.txt"
    acknowledged.unlink(missing_ok=True)
    with traffic(acknowledged) as running:
        console.rule(f"release of {ref} under traffic ({USERS} users, {RATE:.0f} requests/s)")
        run = release(ref, WATCH_S)
    ending = outcome.Ending(scenario.value, run, running.result(), before, outcome.look(), acknowledged)
    console.rule("outcome")
    console.print(outcome.summary(ending))
    found = outcome.shortcomings(ending)
    if found:
        raise DemoFailed("; ".join(found))
    console.print(f"the run in Prefect's UI: {checklist.ui_address(run.run_id)}", soft_wrap=True)
    console.print(ending.release.summary if not ending.succeeded else "release succeeded", soft_wrap=True)


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


def release(ref: str, watch_seconds: int) -> checklist.FollowedRun:
    """Start a release through Prefect's API and follow it."""
    run = checklist.trigger("release/release", {"request": {"ref": ref, "watch_seconds": watch_seconds}})
    return checklist.follow(run, console, deadline_s=RUN_DEADLINE_S)
