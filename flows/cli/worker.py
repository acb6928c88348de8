"""`pilotage worker`: the worker that runs the flows."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.locations import REPOSITORY_ROOT


def worker(
    pool: Annotated[str, typer.Option(help="Work pool, made with deployments/work-pool.json.")] = "pilotage",
    name: Annotated[str | None, typer.Option(help="Name of the worker; by default one that Prefect makes.")] = None,
) -> None:
    """Run the flows that Prefect's server has for a pool; told to stop, let each finish its act and hand over first."""
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL

    from flows.cli.console.process_worker import work

    os.environ.setdefault("PILOTAGE_HOME", str(REPOSITORY_ROOT))
    if file := os.environ.get("PILOTAGE_ENV_FILE"):
        # Its runs have a folder of their own to start from.
        os.environ["PILOTAGE_ENV_FILE"] = str(Path(file).resolve())
    with exit_on_error():
        if not PREFECT_API_URL.value():
            raise CommandFailed("nobody said where the Prefect server is: set PREFECT_API_URL, as http://HOST:PORT/api")
        try:
            asyncio.run(work(pool, name))
        except ObjectNotFound as error:
            raise CommandFailed(
                f"the Prefect server at {PREFECT_API_URL.value()} has no work pool {pool}: `prefect work-pool create "
                f"{pool} --type process --base-job-template deployments/work-pool.json`"
            ) from error
    typer.echo("the worker has stopped, and so have the runs that it had")
