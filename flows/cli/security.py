"""`pilotage security-check`: the security checklist, held against an environment."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.errors import DeploymentError, SettingsError, WrongDatabase
from deployments.settings import Settings, load_settings
from flows.cli.console import database, variables
from flows.cli.console.addresses import ApplicationAddress
from flows.cli.console.command_errors import exit_on_error
from migrations.checks.security.checklist import Application
from migrations.checks.security.finding import Finding, State
from migrations.encryption.cipher import KeyRing
from tasks.builds import application_dsn
from tasks.connections import production_url
from tasks.steps.security import Subject, check_security

STYLES = {State.HOLDS: "green", State.BROKEN: "bold red", State.CANNOT_TELL: "yellow"}


def security_check(
    environment: Annotated[database.Environment, typer.Option(help="What is checked.")],
    database_url: Annotated[str | None, typer.Option(help="Direct connection string of the owner.")] = None,
    app_database_url: Annotated[str | None, typer.Option(help="Connection string of the application.")] = None,
    app_role: Annotated[str | None, typer.Option(help="Role of the application; NEON_APP_ROLE by default.")] = None,
    url: ApplicationAddress = None,
    repository: Annotated[Path, typer.Option(help="Working tree that must keep no secret.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check each line of the security checklist; exit 1 if one is broken, 2 if one cannot be told."""
    with exit_on_error():
        settings = _settings(environment)
        dsn = database.owner_dsn(environment, database_url)
        given = database.for_libpq(app_database_url, "--app-database-url") if app_database_url else None
        theirs = given or (None if database_url else _application_dsn(environment, settings))
        keys = variables.find_variable("ENCRYPTION_KEYS")
        findings = check_security(
            Subject(
                dsn=dsn,
                application=_application(theirs, app_role),
                ring=KeyRing.parse(keys) if keys else None,
                url=url or (production_url(settings) if settings and environment == "production" else None),
                bypass=settings.vercel_automation_bypass_secret if settings and environment == "staging" else None,
                neon_api_url=str(settings.neon_api_url) if settings else None,
                repository=repository,
            )
        )
    if as_json:
        typer.echo(json.dumps({"environment": environment, "findings": [_as_json(one) for one in findings]}, indent=2))
    else:
        _show(findings)
    states = {one.state for one in findings}
    if State.BROKEN in states:
        raise typer.Exit(1)
    if State.CANNOT_TELL in states:
        raise typer.Exit(2)


def _settings(environment: str) -> Settings | None:
    """The settings that lead to Neon and Vercel; development has none, and a database that is named needs none."""
    if environment == "development":
        return None
    try:
        return load_settings()
    except SettingsError:
        return None


def _application_dsn(environment: database.Environment, settings: Settings | None) -> str | None:
    if environment == "development":
        return variables.find_variable("DATABASE_URL_POOLED")
    if settings is None:
        return None
    try:
        return application_dsn(settings, environment).get_secret_value()
    except WrongDatabase as error:
        if not error.transient:
            raise
        return None
    except DeploymentError:
        # Neon may not know a role that was made by SQL: its name is enough for what the catalogue tells.
        return None


def _application(dsn: str | None, role: str | None) -> Application:
    known = Application.of(dsn, role)
    return known if known.role else Application(variables.find_variable("NEON_APP_ROLE"), dsn)


def _as_json(one: Finding) -> dict[str, str]:
    return {"line": one.line, "state": one.state.value, "detail": one.detail}


def _show(findings: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    table = Table("", "Line", "What was found", box=None)
    for one in findings:
        table.add_row(Text(one.state.value, style=STYLES[one.state], no_wrap=True), one.line, Text(one.detail))
    console.print(table)
    count = {state: sum(one.state is state for one in findings) for state in State}
    console.print(", ".join(f"{number} {state.value}" for state, number in count.items()))
