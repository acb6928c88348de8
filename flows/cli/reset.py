"""`pilotage reset`: a development database, dropped and built again."""

import json
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.database import owner_dsn
from flows.cli.disposable import refuse_unless_disposable
from flows.cli.failing import CommandFailed, clearly
from migrations.errors import place
from migrations.history import History
from migrations.resetting import rebuild

console = Console(highlight=False)
DISPOSABLE = ("development", "test")


def reset(
    environment: Annotated[str, typer.Option("--environment", help="development or test.")] = "development",
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="The database; by default DATABASE_URL.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; only with --yes.")] = False,
) -> None:
    """Drop everything in a development or test database, and apply every revision; never staging or production."""
    with clearly():
        dsn = _database(environment, database_url)
        refuse_unless_disposable(dsn)
        if not yes:
            if as_json:
                raise CommandFailed("--json asks nothing: say --yes as well")
            if not typer.confirm(f"Drop everything in {place(dsn)}?"):
                raise CommandFailed("nothing was dropped")
        done = rebuild(dsn, History.load())
    if as_json:
        typer.echo(json.dumps({"database": place(dsn), "applied": [one.revision for one in done]}, indent=2))
    else:
        console.print(f"{place(dsn)} was made anew: {len(done)} revisions applied", markup=False, soft_wrap=True)


def _database(environment: str, database_url: str | None) -> str:
    if environment not in DISPOSABLE:
        raise CommandFailed(f"{environment} is never reset: take {' or '.join(DISPOSABLE)}")
    if environment == "test" and not database_url:
        raise CommandFailed("no setting names a test database: give --database-url")
    return owner_dsn("development", database_url)
