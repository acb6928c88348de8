"""How a command fails: one clear line on stderr, exit 1, no traceback."""

from collections.abc import Generator
from contextlib import contextmanager

import httpx
import typer
from rich.console import Console
from rich.markup import escape

from deployments.errors import DeploymentError
from migrations.errors import MigrationError
from tasks.errors import TaskError

stderr_console = Console(stderr=True, highlight=False)

_REFUSED = 401


class CommandFailed(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""


@contextmanager
def exit_on_error() -> Generator[None]:
    """Turn the errors of every room into one line and exit 1."""
    try:
        yield
    except (CommandFailed, DeploymentError, MigrationError, TaskError, TimeoutError) as error:
        stderr_console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
    except httpx.ConnectError as error:
        stderr_console.print(
            f"[red]error:[/] the Prefect server does not answer ({escape(str(error))}): set PREFECT_API_URL",
            soft_wrap=True,
        )
        raise typer.Exit(1) from None
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        refused = "it refuses the key: set PREFECT_API_AUTH_STRING to the server's" if status == _REFUSED else ""
        said = refused or f"it answered {status} to {error.request.method} {error.request.url.path}: look at its log"
        stderr_console.print(
            f"[red]error:[/] the Prefect server does not do what it was asked: {escape(said)}", soft_wrap=True
        )
        raise typer.Exit(1) from None
