"""`pilotage drift`: the drift check, now."""

from typing import Annotated, Literal

import typer

from flows.cli.console import command_errors


def drift(
    environment: Annotated[Literal["all", "production", "staging"], typer.Option(help="Which environment.")] = "all",
) -> None:
    """Start the drift check through Prefect's API and follow it; exit 1 where there is drift."""
    from flows.cli.console import flow_runs

    with command_errors.exit_on_error():
        flow_runs.run_to_end("drift-check/drift-check", {"environment": environment})
