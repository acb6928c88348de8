"""`pilotage metrics`: sizes, slow statements, unused indexes, locks, connections and upkeep of a database."""

import json
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.cli.console.command_errors import exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from migrations.checks.metrics import Metric, read_metrics
from migrations.database.session import reader
from migrations.errors import describe_database

console = Console(highlight=False)


def metrics(
    environment: Annotated[Environment, typer.Option(help="Where.")] = "development",
    database_url: Annotated[str | None, typer.Option("--database-url", help="That database instead.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the server knows of a database; nothing is changed, and nothing is judged."""
    with exit_on_error():
        dsn = owner_dsn(environment, database_url)
        with reader(dsn) as connection:
            found = read_metrics(connection)
    if as_json:
        typer.echo(
            json.dumps({"database": describe_database(dsn), "metrics": [_document(one) for one in found]}, indent=2)
        )
        return
    for one in found:
        _show(one)


def _document(one: Metric) -> dict[str, object]:
    if one.rows is None:
        return {"name": one.name, "rows": None, "why": one.why}
    rows = [{name: _plain(value) for name, value in zip(one.columns, row, strict=True)} for row in one.rows]
    return {"name": one.name, "rows": rows}


def _plain(value: object) -> object:
    """A value as JSON has it; a time or a decimal as text."""
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[object]", value)]
    return value if value is None or isinstance(value, int) else str(value)


def _show(one: Metric) -> None:
    console.print(f"[bold]{one.name}[/]")
    if one.rows is None:
        console.print(f"  cannot tell: {one.why}", markup=False, soft_wrap=True)
        return
    if not one.rows:
        console.print("  none")
        return
    table = Table(*one.columns, box=None)
    for row in one.rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table)
