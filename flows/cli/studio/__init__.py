"""`pilotage studio`: a page to browse, edit and query a development database."""

import secrets
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import owner_dsn
from migrations.checks.security.server_side import server_access_of


def studio(
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Where it listens, on 127.0.0.1.")] = 5555,
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="The database; DATABASE_URL's by default.")
    ] = None,
) -> None:
    """Serve a page over the models, on this machine alone: browse, filter, edit, and run read-only queries."""
    # A web framework, which the other commands need not wait for.
    import uvicorn

    from deployments.local.postgres.cluster import is_free
    from flows.cli.studio.development import refuse_beyond_development
    from flows.cli.studio.page import studio_app

    console = Console(highlight=False)
    with exit_on_error():
        dsn = owner_dsn("development", database_url)
        where = refuse_beyond_development(dsn)
        if (why := server_access_of(dsn)) is not None:
            raise CommandFailed(
                f"the role of {where} {why}, so that a query could start programs on its server: take the database's "
                "owner (`pilotage db up` makes one)"
            )
        if not is_free(port):
            raise CommandFailed(f"port {port} of 127.0.0.1 is taken: name another (--port)")
    token = secrets.token_urlsafe(24)
    address = f"http://127.0.0.1:{port}/?token={token}"
    console.print(f"{where} at {address}; Ctrl-C ends it", soft_wrap=True, markup=False)
    uvicorn.run(studio_app(dsn, token=token), host="127.0.0.1", port=port, log_level="warning", server_header=False)
