"""`pilotage status`: how a database stands to the revisions."""

import dataclasses
import json
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from flows.cli.console.command_errors import exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from flows.cli.console.project import (
    AsJson,
    Config,
    DatabaseUrl,
    ScriptLocation,
    UrlVariable,
    load_history,
    revision_folders,
)
from migrations.authoring.consistency.finding import Finding
from migrations.authoring.consistency.order import check_heads
from migrations.authoring.consistency.parents import check_parents
from migrations.database.session import reader
from migrations.drift.comparison import CHECKSUMS, revision_findings
from migrations.errors import describe_database
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import HistoryState, history_state


@dataclasses.dataclass(frozen=True)
class DatabaseStatus:
    """How a database stands to the revisions.

    Attributes:
        where: the database, without its password.
        state: what stands and what is pending; None where the revisions cannot be read.
        findings: what is wrong, with what to do.
    """

    where: str
    state: HistoryState | None
    findings: tuple[Finding, ...]


def status(
    environment: Environment = "development",
    database_url: DatabaseUrl = None,
    config: Config = None,
    script_location: ScriptLocation = None,
    url_variable: UrlVariable = "DATABASE_URL",
    as_json: AsJson = False,
) -> None:
    """Show what stands and what is pending; exit 1 where anything is wrong, each named with what to do."""
    with exit_on_error():
        found = read_status(owner_dsn(environment, database_url), config, script_location, url_variable)
    if as_json:
        typer.echo(json.dumps(as_document(found), indent=2))
    else:
        show(found, Console(highlight=False))
    if found.findings:
        raise typer.Exit(1)


def read_status(dsn: str, config: Path | None, script_location: Path | None, url_variable: str) -> DatabaseStatus:
    """Hold a database against the revisions.

    Raises:
        MigrationError: one of them cannot be read.
    """
    parents = check_parents(revision_folders(config, script_location))
    if parents.findings:
        return DatabaseStatus(describe_database(dsn), None, parents.findings)
    history = with_version_table(dsn, load_history(config, script_location, url_variable))
    with reader(dsn) as connection:
        state = history_state(connection, history)
    wrong = [
        Finding(one.subject, one.detail, one.advice)
        for one in revision_findings(state)
        if one.kind != "pending" and one.subject != CHECKSUMS
    ]
    return DatabaseStatus(describe_database(dsn), state, (*check_heads(history).findings, *wrong))


def as_document(found: DatabaseStatus) -> dict[str, object]:
    """The standing for a machine; `ok` is false as soon as anything is wrong."""
    state = found.state
    return {
        "database": found.where,
        "ok": not found.findings,
        "current": list(state.current) if state else None,
        "pending": [one.id for one in state.pending] if state and state.pending is not None else None,
        "recorded": state is not None and state.edited is not None,
        "findings": [dataclasses.asdict(one) for one in found.findings],
    }


def show(found: DatabaseStatus, console: Console) -> None:
    """The standing for people."""
    if found.state is not None:
        console.print(f"{escape(found.where)} stands at {', '.join(found.state.current) or 'nothing: it is empty'}")
        for one in found.state.pending or ():
            console.print(f"  pending {one.id} ({one.phase or 'expand'}): {escape(one.message)}", soft_wrap=True)
        if found.state.pending is None:
            console.print("  [dim]what is pending cannot be told: these revisions do not know where it stands[/]")
        elif not found.state.pending:
            console.print("  nothing is pending")
        if found.state.edited is None:
            console.print("  [dim]edited and deleted files cannot be told: there is no record of what was applied[/]")
    for one in found.findings:
        console.print(f"[red]\u2718[/] {escape(one.subject)}: {escape(one.detail)}", soft_wrap=True)
        console.print(f"    {escape(one.advice)}", soft_wrap=True, style="dim")
