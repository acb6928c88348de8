"""`pilotage rotate-keys`: everything that is encrypted, encrypted again with the first key."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.cli.console import database, variables
from flows.cli.console.command_errors import exit_on_error
from migrations.encryption.cipher import KeyRing
from migrations.protection.key_rotation import ColumnTally, Rotation
from migrations.protection.key_rotation import rotate_keys as rotate


def rotate_keys(
    environment: Annotated[database.Environment, typer.Option(help="Whose database.")],
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Rows a transaction.")] = 500,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and write nothing.")] = False,
    database_url: Annotated[str | None, typer.Option(help="Direct connection string of the owner.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Encrypt again with the first key what has another, and plain text that is left; exit 1 if something is left."""
    with exit_on_error():
        ring = KeyRing.parse(variables.require_variable("ENCRYPTION_KEYS"))
        done = rotate(database.owner_dsn(environment, database_url), ring, batch_rows=batch, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps(_as_json(done), indent=2))
    else:
        _show(done)
    if not done.complete:
        raise typer.Exit(1)


def _as_json(done: Rotation) -> dict[str, object]:
    return {
        "key": done.key_id,
        "dry_run": done.dry_run,
        "complete": done.complete,
        "columns": [
            {
                "table": column.context[0],
                "column": column.context[1],
                "rotated": column.rotated,
                "encrypted": column.encrypted,
                "unknown_keys": dict(column.unknown),
                "unreadable": column.unreadable,
            }
            for column in done.columns
        ],
        "not_there": [".".join(context) for context in done.missing],
        "rows_left": done.left,
    }


def _show(done: Rotation) -> None:
    console = Console(highlight=False)
    verb = "to rotate" if done.dry_run else "rotated"
    table = Table("Column", verb, "plain text", "cannot be read", box=None)
    for column in done.columns:
        table.add_row(
            ".".join(column.context), str(column.rotated), str(column.encrypted), Text(", ".join(_trouble(column)))
        )
    console.print(table)
    if done.missing:
        tables = sorted({name for name, _ in done.missing})
        console.print(f"Not in this database at its revision: columns of {', '.join(tables)}", soft_wrap=True)
    if done.left:
        console.print(
            f"{done.left} rows were locked, or written with another key meanwhile: give the application {done.key_id} "
            "as its first key, then run this again",
            soft_wrap=True,
        )
    elif done.complete:
        console.print("Nothing was written." if done.dry_run else f"Everything is encrypted with key {done.key_id}.")
    if any(column.unknown for column in done.columns):
        console.print("Add the keys that are missing to ENCRYPTION_KEYS, after the first, and run this again.")


def _trouble(column: ColumnTally) -> list[str]:
    unknown = [f"{count} of the unknown key {key}" for key, count in sorted(column.unknown.items())]
    return [*unknown, *([f"{column.unreadable} changed or cut off"] if column.unreadable else [])]
