"""`pilotage seed`: rows for a development database, or for staging."""

import json
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from deployments.settings import is_placeholder
from flows.cli.console import variables
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import owner_dsn
from flows.cli.console.disposable import refuse_unless_seedable
from migrations.encryption.cipher import KeyRing
from migrations.errors import describe_database
from migrations.seeds.initial_rows import SuperAdminIdentity
from migrations.seeds.seeding import Seeded
from migrations.seeds.seeding import seed as load

console = Console(highlight=False)
SEEDED = ("development", "staging")
Size = Literal["none", "small", "medium", "large"]


def seed(
    environment: Annotated[str, typer.Option("--environment", help="development or staging.")] = "development",
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="The database, instead of the environment's.")
    ] = None,
    size: Annotated[Size, typer.Option("--size", help="Generated rows: some 5,000, 300,000 or 10,000,000.")] = "none",
    number: Annotated[int, typer.Option("--seed", help="The same number makes the same rows.", min=0)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load the rows that a development or staging database starts with; those that are there stay as they are."""
    with exit_on_error():
        if environment not in SEEDED:
            raise CommandFailed(f"{environment} is never seeded: take {' or '.join(SEEDED)}")
        dsn = refuse_unless_seedable(owner_dsn(environment, database_url), staging=environment == "staging")
        done = load(
            dsn,
            super_admin=super_admin(),
            size=None if size == "none" else size,
            number=number,
            keys=None if size == "none" else _keys(),
        )
    if as_json:
        typer.echo(json.dumps(_document(dsn, size, number, done), indent=2))
    else:
        _show(dsn, done)


def super_admin() -> SuperAdminIdentity:
    """The person that the settings name, else one at example.com."""
    email, name = variables.find_variable("SUPER_ADMIN_EMAIL"), variables.find_variable("SUPER_ADMIN_NAME")
    default = SuperAdminIdentity()
    return SuperAdminIdentity(
        default.email if email is None or is_placeholder(email) else email.strip(),
        default.name if name is None or is_placeholder(name) else name.strip(),
    )


def _keys() -> KeyRing | None:
    given = variables.find_variable("ENCRYPTION_KEYS")
    return KeyRing.parse(given) if given and not is_placeholder(given) else None


def _document(dsn: str, size: str, number: int, done: Seeded) -> dict[str, object]:
    tables = [
        {"table": one.table, "rows": one.rows, "added": one.added, "seconds": round(one.seconds, 3)}
        for one in done.loaded
    ]
    return {
        "database": describe_database(dsn),
        "size": size,
        "seed": number,
        "added": done.added,
        "tables": tables,
        "left_out": done.left_out,
    }


def _show(dsn: str, done: Seeded) -> None:
    shown = Table("table", "rows", "new")
    for one in done.loaded:
        shown.add_row(one.table, f"{one.rows:,}", f"{one.added:,}")
    console.print(shown)
    if done.left_out:
        console.print(f"not in this database, and left out: {', '.join(done.left_out)}", markup=False, soft_wrap=True)
    console.print(f"{describe_database(dsn)}: {done.added:,} new rows", markup=False, soft_wrap=True)
