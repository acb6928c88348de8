"""`pilotage new`: what the models have and the revisions lack, as revisions."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from flows.cli.console import variables
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import owner_dsn
from flows.cli.console.throwaway_server import server_for_throwaways
from migrations.apply.migrate import upgrade
from migrations.authoring.drafting.draft import Draft, draft_revisions, empty_revision, write
from migrations.errors import MigrationError
from migrations.history.revisions import History
from migrations.models import Base

Action = Literal["init", "add", "create", "update", "remove", "fix", "migrate", "optimize"]

console = Console(highlight=False)


def new(
    message: Annotated[str, typer.Argument(help="What the change is for; its first word may be the action.")],
    action: Annotated[Action | None, typer.Option("--action", help="The action in the file's name.")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Write a revision that does nothing yet.")] = False,
    no_apply: Annotated[bool, typer.Option("--no-apply", help="Leave the development database alone.")] = False,
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="The development database; by default DATABASE_URL.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the revisions that the models ask for, prove them, and apply them to the development database."""
    with exit_on_error():
        history = History.load()
        folder = history.folders[0]
        if empty:
            draft = empty_revision(history, message=message, action=action)
        else:
            with server_for_throwaways(database_url) as server:
                draft = draft_revisions(server, history, Base.metadata, message=message, action=action)
        files = write(draft, folder)
        # An empty revision is yet to be written; one that is applied could no longer be.
        applied = bool(files) and not empty and not no_apply and _apply(database_url, folder, files)
    if as_json:
        typer.echo(json.dumps(as_document(draft, files, applied=applied), indent=2))
    else:
        show(draft, files, applied=applied)


def as_document(draft: Draft, files: tuple[Path, ...], *, applied: bool) -> dict[str, object]:
    """The draft for a machine."""
    return {
        "revisions": [
            {
                "id": one.id,
                "file": str(file),
                "phase": one.content.phase,
                "concurrently": one.content.concurrently,
                "changes": list(dict.fromkeys(one.content.subjects)),
                "up": list(one.content.up),
                "down": list(one.content.down),
            }
            for one, file in zip(draft.revisions, files, strict=True)
        ],
        "notes": list(draft.notes),
        "applied": applied,
    }


def show(draft: Draft, files: tuple[Path, ...], *, applied: bool) -> None:
    """The draft for a person."""
    if not files:
        console.print("nothing to do: the revisions build what the models say")
        return
    for one, file in zip(draft.revisions, files, strict=True):
        console.print(f"{file} ({one.content.phase})", markup=False, soft_wrap=True)
        for subject in dict.fromkeys(one.content.subjects):
            console.print(f"    {subject}", markup=False, soft_wrap=True)
    for note in draft.notes:
        console.print(note, markup=False, style="yellow", soft_wrap=True)
    if not draft.revisions[0].content.subjects:
        console.print("write its two functions, then look at it with `pilotage check`")
        return
    console.print("proven on a throwaway database: up, down, up")
    if applied:
        console.print("applied to the development database")


def _apply(database_url: str | None, folder: Path, files: tuple[Path, ...]) -> bool:
    """Bring the development database to the new head, where there is one."""
    if not (database_url or variables.find_variable("DATABASE_URL")):
        return False
    try:
        upgrade(owner_dsn("development", database_url), History.load(folder), release_id="development")
    except MigrationError as error:
        written = ", ".join(file.name for file in files)
        raise CommandFailed(f"{written} was written, but the development database did not take it: {error}") from error
    return True
