"""`pilotage install`: what a Prefect server starts by itself."""

import httpx
import typer

from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.deploying import RECOVERY


def install() -> None:
    """Let the Prefect server finish releases and rollbacks whose run is cut off; doing it again changes nothing."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectException
    from prefect.settings import PREFECT_API_URL

    from flows.cli.console.automations import NAME, install_automations

    with exit_on_error():
        server = PREFECT_API_URL.value()
        if not server:
            raise CommandFailed("nobody said where the Prefect server is: set PREFECT_API_URL, as http://HOST:PORT/api")
        try:
            with get_client(sync_client=True) as client:
                install_automations(client, RECOVERY)
        except ObjectNotFound as error:
            raise CommandFailed(
                f"the Prefect server at {server} has no deployment {RECOVERY}, so nothing was installed: run"
                " `prefect --no-prompt deploy --all` in this folder first"
            ) from error
        except (PrefectException, httpx.HTTPError) as error:
            raise CommandFailed(
                f"the Prefect server at {server} took no automation, so nothing was installed: {error}; check"
                " PREFECT_API_URL and PREFECT_API_AUTH_STRING"
            ) from error
    typer.echo(f"installed at {server}: the automation `{NAME}` starts {RECOVERY} where a run is cut off")
