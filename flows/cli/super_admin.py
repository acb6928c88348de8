"""`pilotage create-super-admin`: the one user who is created by hand."""

import getpass
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from deployments.settings import is_placeholder
from flows.cli.console import database, variables
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from migrations.protection.super_admin import create_super_admin as create


def create_super_admin(
    environment: Annotated[database.Environment, typer.Option(help="Where.")],
    email: Annotated[str | None, typer.Option(help="Address; SUPER_ADMIN_EMAIL by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Name; SUPER_ADMIN_NAME by default.")] = None,
    yes_i_mean: Annotated[str | None, typer.Option(help="The address again, for scripts; production asks.")] = None,
    database_url: Annotated[str | None, typer.Option(help="Direct connection string of the owner.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create the super admin; where that person is one already, say so and change nothing."""
    with exit_on_error():
        address = email or variables.require_variable("SUPER_ADMIN_EMAIL", instead="--email")
        person = name or variables.require_variable("SUPER_ADMIN_NAME", instead="--name")
        _filled_in(address, person)
        dsn = database.owner_dsn(environment, database_url)
        if environment == "production" or yes_i_mean is not None:
            _confirmed(address, yes_i_mean)
        admin = create(dsn, email=address, name=person, requested_by=_who())
    if as_json:
        shown = {"id": str(admin.id), "email": admin.email, "created": admin.created, "active": admin.active}
        typer.echo(json.dumps(shown, indent=2))
        return
    console = Console(highlight=False)
    if admin.created:
        console.print(f"{escape(admin.email)} is super admin of {environment} now.", soft_wrap=True)
    else:
        state = "" if admin.active else ", but is deactivated"
        console.print(
            f"{escape(admin.email)} is super admin of {environment} already{state}; nothing was changed.",
            soft_wrap=True,
        )


def _filled_in(*texts: str) -> None:
    if any(is_placeholder(text) or not text.strip() for text in texts):
        raise CommandFailed("the super admin's address or name is a placeholder: give the person's own")


def _confirmed(address: str, again: str | None) -> None:
    typed = again if again is not None else _typed(address)
    if typed.strip() != address.strip():
        raise CommandFailed("the address typed again is another one; nothing was changed")


def _typed(address: str) -> str:
    try:
        return str(
            typer.prompt(f"{address} will be able to do everything in production. Type the address again", err=True)
        )
    except typer.Abort:
        raise CommandFailed("the address was not typed again (--yes-i-mean ADDRESS for scripts)") from None


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
