"""`pilotage db`: a development database of one's own."""

import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values
from rich.console import Console

from deployments.local.errors import LocalPlatformError
from deployments.local.postgres import development
from deployments.local.postgres.development import DevelopmentDatabase
from deployments.redaction.redacted_output import write_unredacted
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.locations import DEFAULT_STATE_FOLDER
from migrations.apply.migrate import Applied, upgrade
from migrations.database.session import connect, reader
from migrations.history.revisions import History, history_state
from migrations.protection.role_grants import ensure_roles

app = typer.Typer(help="A PostgreSQL database for development, on this machine.", no_args_is_help=True)
console = Console(highlight=False)

Folder = Annotated[
    Path, typer.Option("--state", help="Folder of the database; several side by side need one each.", file_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_FOLDER = DEFAULT_STATE_FOLDER / "development"


@dataclass(frozen=True)
class _Facts:
    running: bool
    pid: int | None
    port: int
    database_url: str
    app_database_url: str
    env_file: str
    log: str
    revisions: tuple[str, ...]
    pending: tuple[str, ...] | None
    applied: tuple[str, ...]


@app.command()
def up(
    folder: Folder = _FOLDER,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="Where it listens; kept for later starts.")
    ] = None,
    migrate: Annotated[bool, typer.Option("--migrate/--no-migrate", help="Apply every revision.")] = True,
    as_json: AsJson = False,
) -> None:
    """Bring a development database up, with every revision, and leave it running; twice is once."""
    with exit_on_error(), _as_failures():
        database = development.up(folder.resolve(), port=port)
        applied: tuple[Applied, ...] = ()
        if migrate:
            applied = upgrade(database.owner_dsn, History.load(), target="heads", release_id="development")
            with connect(database.owner_dsn) as connection:
                ensure_roles(connection, application=database.app_role, read_only="reader")
        facts = _facts(folder.resolve(), database, applied)
    if as_json:
        write_unredacted(json.dumps(asdict(facts), indent=2))
        return
    for one in applied:
        console.print(f"applied {one.revision} {one.message}", soft_wrap=True, markup=False)
    _show(facts)
    _say_how_to_use_it(facts)


@app.command()
def down(
    folder: Folder = _FOLDER,
    remove: Annotated[bool, typer.Option("--remove", help="Delete it, with all its rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the development database; its rows stay for the next `db up`."""
    with exit_on_error(), _as_failures():
        ran = development.down(folder.resolve(), remove=remove)
    if as_json:
        typer.echo(json.dumps({"ran": ran, "removed": remove}))
        return
    console.print("the development database is down" if ran else f"none ran in {folder}", soft_wrap=True)
    if remove:
        console.print("its rows are deleted")


@app.command()
def status(folder: Folder = _FOLDER, as_json: AsJson = False) -> None:
    """Show whether the development database runs, where, and which revision it stands at; exit 1 where it does not."""
    with exit_on_error(), _as_failures():
        database = development.status(folder.resolve())
        if database is None:
            raise CommandFailed(f"no development database was made in {folder}: `pilotage db up` makes one")
        facts = _facts(folder.resolve(), database)
    if as_json:
        write_unredacted(json.dumps(asdict(facts), indent=2))
    else:
        _show(facts)
    if database.pid is None:
        raise typer.Exit(1)


@contextmanager
def _as_failures() -> Generator[None]:
    try:
        yield
    except LocalPlatformError as error:
        raise CommandFailed(str(error)) from error


def _facts(folder: Path, database: DevelopmentDatabase, applied: Sequence[Applied] = ()) -> _Facts:
    current: tuple[str, ...] = ()
    pending: tuple[str, ...] | None = ()
    if database.pid is not None:
        with reader(database.owner_dsn) as connection:
            found = history_state(connection, History.load())
        current = found.current
        pending = None if found.pending is None else tuple(one.id for one in found.pending)
    return _Facts(
        running=database.pid is not None,
        pid=database.pid,
        port=database.port,
        database_url=database.owner_dsn,
        app_database_url=database.app_dsn,
        env_file=str(development.environment_file(folder)),
        log=str(database.log),
        revisions=current,
        pending=pending,
        applied=tuple(one.revision for one in applied),
    )


def _show(facts: _Facts) -> None:
    runs = f"runs, process {facts.pid}" if facts.running else "does not run: `pilotage db up` starts it"
    lines = [f"the development database {runs}"]
    if facts.running:
        pending = "cannot be told" if facts.pending is None else ", ".join(facts.pending) or "none"
        lines += [f"  revision  {', '.join(facts.revisions) or 'none'}", f"  pending   {pending}"]
    lines += [f"  log       {facts.log}"]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
    write_unredacted(f"DATABASE_URL={facts.database_url}")


def _say_how_to_use_it(facts: _Facts) -> None:
    console.print(f"\nCommands find it by `pilotage --env-file {facts.env_file} ...`", soft_wrap=True, markup=False)
    given = dotenv_values(os.environ.get("PILOTAGE_ENV_FILE", ".env")).get("DATABASE_URL")
    if given is None:
        console.print("or by the line above in .env, which has no DATABASE_URL yet.", soft_wrap=True)
    elif given != facts.database_url:
        console.print("The settings' own DATABASE_URL is another one; it stays as it is.", soft_wrap=True)
