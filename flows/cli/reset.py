"""`pilotage reset`: a development database, dropped and built again."""

import io
import json
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from flows.cli import seed as seeding
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import owner_dsn
from flows.cli.console.disposable import refuse_unless_disposable
from flows.cli.seed import Size
from migrations.authoring.reset import rebuild
from migrations.errors import describe_database
from migrations.history.revisions import History

console = Console(highlight=False)
DISPOSABLE = ("development", "test")


def reset(
    environment: Annotated[str, typer.Option("--environment", help="development or test.")] = "development",
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="The database; by default DATABASE_URL.")
    ] = None,
    seed: Annotated[
        Size | None, typer.Option("--seed", help="Load the rows that a database starts with, of this size.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; only with --yes.")] = False,
) -> None:
    """Drop everything in a development or test database, and apply every revision; never staging or production."""
    with exit_on_error():
        dsn = _database(environment, database_url)
        there = refuse_unless_disposable(dsn)
        if not yes:
            if as_json:
                raise CommandFailed("--json asks nothing: say --yes as well")
            if not typer.confirm(f"Drop everything in {describe_database(dsn)}?"):
                raise CommandFailed("nothing was dropped")
        done = rebuild(there, History.load())
    told: dict[str, object] = {
        "database": describe_database(dsn),
        "applied": [one.revision for one in done.applied],
        "left": [asdict(one) for one in done.left],
    }
    if not as_json:
        console.print(
            f"{describe_database(dsn)} was made anew: {len(done.applied)} revisions applied",
            markup=False,
            soft_wrap=True,
        )
        for one in done.left:
            console.print(f"left: {one}", markup=False, soft_wrap=True)
    if seed is not None:
        told["seeded"] = _seeded(dsn, seed, as_json=as_json)
    if as_json:
        typer.echo(json.dumps(told, indent=2))


def _seeded(dsn: str, size: Size, *, as_json: bool) -> object:
    """Load the seeds as `pilotage seed` does; what it says as JSON is a part of what is said here."""
    said = io.StringIO()
    with redirect_stdout(said) if as_json else nullcontext():
        seeding.seed(database_url=dsn, size=size, as_json=as_json)
    return json.loads(said.getvalue()) if as_json else None


def _database(environment: str, database_url: str | None) -> str:
    if environment not in DISPOSABLE:
        raise CommandFailed(f"{environment} is never reset: take {' or '.join(DISPOSABLE)}")
    if environment == "test" and not database_url:
        raise CommandFailed("no setting names a test database: give --database-url")
    return owner_dsn("development", database_url)
