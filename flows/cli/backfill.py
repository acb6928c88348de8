"""`pilotage backfill`: how far backfills have come; pause them, let them go on, begin anew."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.console.command_errors import exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from flows.cli.console.project import AsJson, DatabaseUrl
from migrations.backfill import records
from migrations.backfill.records import BackfillRecord, backfill_records

app = typer.Typer(help="See how far backfills have come; pause them, let them go on.", no_args_is_help=True)
console = Console(highlight=False)

OptionalRevision = Annotated[str | None, typer.Argument(help="Revision; all unfinished ones without.")]


@app.command("status")
def status(environment: Environment = "development", database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show the backfills that the database keeps, the unfinished first."""
    with exit_on_error():
        found = backfill_records(owner_dsn(environment, database_url))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in found], default=str, indent=2))
        return
    if not found:
        console.print("no backfill has run on this database")
        return
    table = Table("revision", "table", "rows gone over", "rows changed", "state", "last batch")
    for one in found:
        table.add_row(
            f"{one.revision} ({one.direction})",
            one.relation,
            f"{one.passed} of about {max(one.estimate, one.passed)}",
            str(one.changed),
            state(one),
            f"{one.updated_at:%Y-%m-%d %H:%M:%S}",
        )
    console.print(table)


@app.command("pause")
def pause(
    revision: OptionalRevision = None, environment: Environment = "development", database_url: DatabaseUrl = None
) -> None:
    """Let backfills wait before their next batch; whoever applies them waits with them, and holds nothing."""
    with exit_on_error():
        done = records.set_paused(owner_dsn(environment, database_url), revision, paused=True)
    console.print(f"paused {', '.join(done)}")


@app.command("resume")
def resume(
    revision: OptionalRevision = None, environment: Environment = "development", database_url: DatabaseUrl = None
) -> None:
    """Let paused backfills go on."""
    with exit_on_error():
        done = records.set_paused(owner_dsn(environment, database_url), revision, paused=False)
    console.print(f"resumed {', '.join(done)}")


@app.command("restart")
def restart(
    revision: Annotated[str, typer.Argument(help="Revision.")],
    environment: Environment = "development",
    database_url: DatabaseUrl = None,
) -> None:
    """Let the backfills of a revision that is not applied begin anew, over the rows that are done, too."""
    with exit_on_error():
        done = records.restart(owner_dsn(environment, database_url), revision)
    console.print(f"{', '.join(done)} begins anew with the next apply")


def state(one: BackfillRecord) -> str:
    """What is to be said of a backfill in a word."""
    if one.closed:
        return "done, with its revision"
    if one.finished:
        return "through; its revision is not applied"
    return "paused" if one.paused else "not finished"
