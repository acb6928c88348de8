"""`pilotage check`: whether the revisions are in order."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.cli.failing import clearly
from flows.cli.throwaway_server import server_for_throwaways
from migrations.consistency import CheckResult, check_revisions
from migrations.history import History
from migrations.models import Base

Since = Annotated[
    list[str] | None, typer.Option("--since", help="What is released, or base: the revisions above it are one plan.")
]
Server = Annotated[
    str | None,
    typer.Option("--database-url", help="Server for throwaway databases; by default DATABASE_URL's, else its own."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def check(database_url: Server = None, since: Since = None, as_json: AsJson = False) -> None:
    """Check that the revisions are in order, return, and build what the models say; exit 1 where they do not."""
    with clearly():
        history = History.load()
        stands = None if since is None else tuple(history.resolve(one) for one in since if one != "base")
        with server_for_throwaways(database_url) as server:
            results = check_revisions(server, history, metadata=Base.metadata, stands=stands)
    if as_json:
        typer.echo(json.dumps(as_document(results), indent=2))
    else:
        show(results, Console(highlight=False))
    if any(one.findings for one in results):
        raise typer.Exit(1)


def as_document(results: Sequence[CheckResult]) -> dict[str, object]:
    """The results for a machine; `ok` is false as soon as anything was found."""
    return {
        "ok": not any(one.findings for one in results),
        "checks": [dataclasses.asdict(one) | {"passed": one.passed} for one in results],
    }


def show(results: Sequence[CheckResult], console: Console) -> None:
    """Each check in a line, and under it what it found."""
    for one in results:
        mark = "[green]✔[/]" if one.passed else "[red]✘[/]" if one.told else "[yellow]?[/]"
        note = f" [dim]{escape(one.note)}[/]" if one.note else ""
        console.print(f"{mark} {one.check}{note}", soft_wrap=True)
        for found in one.findings:
            console.print(f"    {found.subject}: {found.detail}", markup=False, soft_wrap=True)
            console.print(f"      {found.advice}", markup=False, soft_wrap=True, style="dim")
