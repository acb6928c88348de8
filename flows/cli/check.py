"""`pilotage check`: whether the revisions are in order."""

import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.cli.console.command_errors import exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from flows.cli.console.project import AsJson, Config, ScriptLocation, UrlVariable, load_history, revision_folders
from flows.cli.console.throwaway_server import server_for_throwaways
from migrations.authoring.consistency.finding import CheckResult
from migrations.authoring.consistency.live import check_live
from migrations.authoring.consistency.parents import check_parents
from migrations.authoring.consistency.revision_checks import check_revisions
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import History
from migrations.models import Base

Since = Annotated[
    list[str] | None, typer.Option("--since", help="What is released, or base: the revisions above it are one plan.")
]
Server = Annotated[
    str | None,
    typer.Option("--database-url", help="Server for throwaway databases; by default DATABASE_URL's, else its own."),
]
Live = Annotated[bool, typer.Option("--live", help="Look at the database of --database-url too.")]
InEnvironment = Annotated[
    Environment | None, typer.Option("--environment", help="Look at the database of this environment too.")
]


def check(
    database_url: Server = None,
    since: Since = None,
    live: Live = False,
    environment: InEnvironment = None,
    config: Config = None,
    script_location: ScriptLocation = None,
    url_variable: UrlVariable = "DATABASE_URL",
    as_json: AsJson = False,
) -> None:
    """Check that the revisions are in order, return, and build what the models say; exit 1 where they do not."""
    with exit_on_error():
        parents = check_parents(revision_folders(config, script_location))
        if parents.findings:
            results: tuple[CheckResult, ...] = (parents,)
        else:
            history = load_history(config, script_location, url_variable)
            results = _results(history, database_url, since, environment, live=live)
    if as_json:
        typer.echo(json.dumps(as_document(results), indent=2))
    else:
        show(results, Console(highlight=False))
    if any(one.findings for one in results):
        raise typer.Exit(1)


def _results(
    history: History,
    database_url: str | None,
    since: list[str] | None,
    environment: str | None,
    *,
    live: bool,
) -> tuple[CheckResult, ...]:
    current = None if since is None else tuple(history.resolve(one) for one in since if one != "base")
    metadata = Base.metadata if history.environment is None else None
    on_it: tuple[CheckResult, ...] = ()
    with ExitStack() as ends:
        looked_at, server = _places(ends, database_url, environment, live=live)
        if looked_at is not None:
            history = with_version_table(looked_at, history)
            found, standing = check_live(looked_at, server, history)
            on_it, current = (found,), standing.current if current is None else current
        return (*check_revisions(server, history, metadata=metadata, current=current), *on_it)


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


def _places(
    ends: ExitStack, database_url: str | None, environment: str | None, *, live: bool
) -> tuple[str | None, str]:
    """The database to look at, if any, and the server to build throwaway databases on."""
    if environment in {"staging", "production"}:
        # Production's roles are in staging too, and nothing is made on production's server.
        return owner_dsn(environment), database_url or owner_dsn("staging")
    if live or environment:
        looked_at = owner_dsn("development", database_url)
        return looked_at, looked_at
    return None, ends.enter_context(server_for_throwaways(database_url))
