"""`pilotage local demo`: a release on the local platform from nothing, and what comes of it."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.local.errors import LocalPlatformError
from deployments.local.supervisor import platform
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.deploying import deploy_flows
from flows.cli.console.locations import DEFAULT_STATE_FOLDER

console = Console(highlight=False)


class Scenario(StrEnum):
    """What is released, and what happens to it."""

    RELEASE = "release"
    BAD_MIGRATION = "bad-migration"
    APP_CRASH = "app-crash"
    DATA_CORRUPTION = "data-corruption"
    KILLED = "killed"
    QUIET = "quiet"


def demo(
    scenario: Annotated[Scenario, typer.Option(help="What is released, and what happens to it.")] = Scenario.RELEASE,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up to look at.")] = False,
    state: Annotated[Path, typer.Option(help="Folder of the local platform.", file_okay=False)] = DEFAULT_STATE_FOLDER,
) -> None:
    """Bring the local platform up, release to it under traffic, and check what came of it."""
    try:
        with exit_on_error(), running_platform(state, keep=keep):
            deploy_flows(state)
            _run(scenario, state)
            if keep:
                console.print(f"everything stays up; its settings are in {state / 'local.env'}", soft_wrap=True)
                console.print("Prefect's pages ask for its PREFECT_API_AUTH_STRING")
                console.print("to end it: pilotage local down")
    except KeyboardInterrupt:
        console.print("interrupted: the local platform was taken down")
        raise typer.Exit(130) from None


def _run(scenario: Scenario, state: Path) -> None:
    # Prefect reads where its server is when it is imported, and that is known only now.
    from flows.cli.console import scenario as scenarios
    from flows.cli.scenarios import killed, quiet

    match scenario:
        case Scenario.KILLED:
            killed.run_scenario(state)
        case Scenario.QUIET:
            quiet.run_scenario(state)
        case _:
            scenarios.run_scenario(scenario.value, state)


@contextmanager
def running_platform(state: Path, *, keep: bool) -> Generator[None]:
    """The local platform with Prefect's server and worker, taken down at the end unless it ends well and is to stay."""
    if platform.down(state):
        console.print("took down what an earlier run had left")
    console.rule("local platform")
    try:
        platform.up(
            state, detach=True, pipeline=True, on_progress=lambda line: console.print(f"  {line}", markup=False)
        )
    except LocalPlatformError as error:
        raise CommandFailed(str(error)) from error
    ended_well = False
    try:
        os.environ.update(platform.read_env(state))
        yield
        ended_well = True
    finally:
        if not (keep and ended_well):
            platform.down(state)
