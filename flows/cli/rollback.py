"""`pilotage rollback`: bring production back to before the newest release."""

from typing import Annotated, Literal

import typer

from flows.cli.console import command_errors


def rollback(
    release_id: Annotated[str, typer.Argument(help="Id of the newest release, as `pilotage ledger` shows it.")],
    way: Annotated[
        Literal["application", "data"],
        typer.Option(help="application: the previous build, the schema stays; data: the database is restored as well."),
    ] = "application",
    reason: Annotated[str, typer.Option(help="Why, for the ledger and Slack.")] = "started by hand",
) -> None:
    """Start the rollback flow through Prefect's API and follow it to its end."""
    from flows.cli.console import flow_runs

    with command_errors.exit_on_error():
        parameters: dict[str, object] = {"release_id": release_id, "way": way, "reason": reason}
        flow_runs.run_to_end("rollback/rollback", parameters)
