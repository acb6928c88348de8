"""`pilotage roles`: the application's role, one that only reads, and the services'."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.console import variables
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from migrations.errors import describe_database
from migrations.protection.role_grants import SERVICES, RoleGiven
from tasks.steps.roles import Roles, give_roles

console = Console(highlight=False)


def roles(
    environment: Annotated[Environment, typer.Option(help="Where.")] = "development",
    database_url: Annotated[str | None, typer.Option(help="That database instead, as its owner.")] = None,
    application: Annotated[str | None, typer.Option(help="Role of the application; NEON_APP_ROLE by default.")] = None,
    read_only: Annotated[str | None, typer.Option(help="Role that reads; the application's and _reader.")] = None,
    service: Annotated[str, typer.Option(help="Role of services, who see every user's rows.")] = SERVICES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make the roles beside the owner where they are missing, and give each what it needs, no more; twice is once."""
    with exit_on_error():
        name = application or variables.find_variable("NEON_APP_ROLE")
        if not name:
            raise CommandFailed("nobody said what the application's role is: set NEON_APP_ROLE, or give --application")
        dsn = owner_dsn(environment, database_url)
        released = None if database_url or environment == "development" else environment
        given = give_roles(dsn, Roles(name, read_only or f"{name}_reader", service), environment=released)
    if as_json:
        document = {"database": describe_database(dsn), "roles": [dataclasses.asdict(one) for one in given]}
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(dsn, given)


def _show(dsn: str, given: tuple[RoleGiven, ...]) -> None:
    table = Table(title=describe_database(dsn), title_justify="left", box=None)
    for heading in ("Role", "Tables to read", "to write", "Logs in"):
        table.add_column(heading)
    for one in given:
        table.add_row(one.name, str(one.reads), str(one.writes), "yes" if one.logs_in else "no")
    console.print(table)
    for one in given:
        if not one.logs_in:
            console.print(
                f"{one.name} may not log in: give it a password in psql (\\password {one.name}), then ALTER ROLE "
                f'"{one.name}" LOGIN; or make a role that logs in a member of it',
                markup=False,
                soft_wrap=True,
            )
