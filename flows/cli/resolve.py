"""`pilotage resolve`: a mark set by hand, where the catalogue agrees."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from flows.cli.console.project import AsJson, Config, DatabaseUrl, ScriptLocation, UrlVariable, load_history
from migrations.authoring.resolve import Mark, mark_revision

console = Console(highlight=False)


def resolve(
    applied: Annotated[str | None, typer.Option("--applied", help="Say of this revision that it is applied.")] = None,
    rolled_back: Annotated[
        str | None, typer.Option("--rolled-back", help="Say of this revision that it is not applied.")
    ] = None,
    environment: Annotated[Environment, typer.Option("--environment", help="In which environment.")] = "development",
    database_url: DatabaseUrl = None,
    config: Config = None,
    script_location: ScriptLocation = None,
    url_variable: UrlVariable = "DATABASE_URL",
    unchecked: Annotated[
        bool,
        typer.Option("--unchecked", help="Of a revision that was cut off half-way: do not compare the catalogue."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Mark a revision as applied or rolled back, where the catalogue is what the revisions then promise."""
    with exit_on_error():
        revision, mark = _asked(applied, rolled_back)
        live = owner_dsn(environment, database_url)
        # Nothing is made on production's server.
        server = owner_dsn("staging") if environment == "production" and not database_url else live
        history = load_history(config, script_location, url_variable)
        marked = mark_revision(live, server, history, revision, mark, unchecked=unchecked)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(marked), indent=2))
        return
    console.print(f"{marked.revision} is marked as {marked.mark}", markup=False)
    console.print(f"stood: {', '.join(marked.before) or 'base'}; stands: {', '.join(marked.after) or 'base'}")


def _asked(applied: str | None, rolled_back: str | None) -> tuple[str, Mark]:
    if applied and not rolled_back:
        return applied, "applied"
    if rolled_back and not applied:
        return rolled_back, "rolled back"
    raise CommandFailed("say one of --applied REVISION and --rolled-back REVISION")
