"""`pilotage plan`: what would be applied, statement by statement, and the way back."""

import json
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from flows.cli.console.project import AsJson, Config, DatabaseUrl, ScriptLocation, UrlVariable, load_history
from flows.cli.console.throwaway_server import throwaway_server
from migrations.database.session import reader
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import current_revisions
from migrations.plan.lint import lint_plan, unwaived
from migrations.plan.planned_revisions import make_plan
from migrations.plan.report import as_document, render

SqlFile = Annotated[Path | None, typer.Option("--sql", help="Write the statements to this file.")]
RollbackFile = Annotated[Path | None, typer.Option("--rollback-sql", help="Write the way back to this file.")]
Server = Annotated[str | None, typer.Option(help="Server for throwaway databases; by default one is started.")]


def plan(
    environment: Environment = "development",
    database_url: DatabaseUrl = None,
    config: Config = None,
    script_location: ScriptLocation = None,
    url_variable: UrlVariable = "DATABASE_URL",
    target: Annotated[str, typer.Option(help="head, heads, or a revision.")] = "head",
    server_url: Server = None,
    sql: SqlFile = None,
    rollback_sql: RollbackFile = None,
    as_json: AsJson = False,
) -> None:
    """Show every statement that would run, its locks, the hazards and the way back; exit 1 over an unwaived hazard."""
    # What env.py and revisions print is not the plan.
    with exit_on_error(), ExitStack() as ends, redirect_stdout(sys.stderr):
        dsn = owner_dsn(environment, database_url)
        history = with_version_table(dsn, load_history(config, script_location, url_variable))
        with reader(dsn) as connection:
            current = current_revisions(connection, history.version_table)
        server = server_url or ends.enter_context(throwaway_server())
        made = make_plan(server, history, current=current, target=target)
        findings = lint_plan(made, history, dsn)
        for file, text in ((sql, made.sql()), (rollback_sql, made.rollback_sql())):
            if file is not None:
                _write(file, text)
    if as_json:
        typer.echo(json.dumps(as_document(made, findings), indent=2))
    else:
        Console(highlight=False).print(Markdown(render(made, findings)))
    if unwaived(findings):
        raise typer.Exit(1)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(
            f"{file} cannot be written: {error.strerror}; name a file in a folder that is there"
        ) from error
