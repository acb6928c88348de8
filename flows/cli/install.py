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

    from flows.cli.console.automations import install_automations

    with exit_on_error():
        server = PREFECT_API_URL.value()
        if not server:
            raise CommandFailed("nobody said where the Prefect server is: set PREFECT_API_URL, as http://HOST:PORT/api")
        try:
            with get_client(sync_client=True) as client:
                installed = install_automations(client)
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
    for one in installed:
        why = f"gives no sign of life for {one.silent_for_s} s" if one.silent_for_s else f"is {' or '.join(one.states)}"
        typer.echo(
            f"installed at {server}: `{one.name}` starts {one.starts} where a run of {', '.join(one.flows)} {why}"
        )
