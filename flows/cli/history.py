"""`pilotage history`: the revisions in the order in which they are applied."""

import json

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.console.command_errors import exit_on_error
from flows.cli.console.project import AsJson, Config, ScriptLocation, load_history
from migrations.history.revisions import History


def history(config: Config = None, script_location: ScriptLocation = None, as_json: AsJson = False) -> None:
    """Show the revisions, oldest first, with where they branch, merge and end."""
    with exit_on_error():
        read = load_history(config, script_location)
    if as_json:
        typer.echo(json.dumps(as_document(read), indent=2))
    else:
        Console(highlight=False).print(as_table(read))


def as_document(read: History) -> dict[str, object]:
    """The history for a machine."""
    return {
        "heads": list(read.heads),
        "revisions": [
            {
                "revision": one.id,
                "down_revisions": list(one.down_revisions),
                "phase": one.phase,
                "message": one.message,
                "file": one.path.name,
                "checksum": one.checksum,
            }
            for one in read.revisions
        ],
    }


def as_table(read: History) -> Table:
    """The history for people."""
    table = Table(box=None)
    for heading in ("Revision", "On", "Phase", "What", ""):
        table.add_column(heading, no_wrap=heading == "Revision")
    for one in read.revisions:
        followers = sum(one.id in other.down_revisions for other in read.revisions)
        marks = [
            *(["head"] if one.id in read.heads else []),
            *(["branch point"] if followers > 1 else []),
            *(["merge"] if len(one.down_revisions) > 1 else []),
        ]
        table.add_row(one.id, ", ".join(one.down_revisions) or "-", one.phase or "-", one.message, ", ".join(marks))
    return table
