"""The flows of prefect.yaml registered with the Prefect server of a local platform."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from deployments.local.supervisor import platform
from flows.cli.console.command_errors import CommandFailed
from flows.cli.console.locations import REPOSITORY_ROOT

console = Console(highlight=False)

RECOVERY: Final = "recover/recover"
_REGISTERED: Final = re.compile(r"Deployment '([^']+)' successfully created")
_NO_POOL: Final = re.compile(r"references work pool '([^']+)' which does not exist")
_UNREADABLE: Final = re.compile(r"Unable to read the specified config file\. Reason: (.*?)\s*Skipping\.", re.DOTALL)
_UNREACHABLE: Final = re.compile(r"ConnectError|ConnectTimeout|ReadTimeout|ReadError|RemoteProtocolError")
_UNAUTHORIZED: Final = re.compile(r"\b40[13] (?:Unauthorized|Forbidden)")
_AGAIN: Final = "`pilotage local up --pipeline` starts it afresh"
# Prefect breaks its lines at the width of the terminal, names in the midst.
_WIDTH: Final = "1000"


def deploy_flows(state: Path, *, project: Path = REPOSITORY_ROOT) -> None:
    """Register the flows, so that releases can be started, and print what Prefect has registered.

    Args:
        state: folder of the local platform.
        project: folder with prefect.yaml.

    Raises:
        CommandFailed: Prefect registered nothing, or not all; it says why, where, and what to do.
    """
    env = {**os.environ, **platform.read_env(state), "COLUMNS": _WIDTH}
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    registered = _REGISTERED.findall(done.stdout)
    if done.returncode or not registered:
        why = _why(f"{done.stdout}\n{done.stderr}", state, project, env.get("PREFECT_API_URL", ""))
        before = f"; registered before that: {', '.join(registered)}" if registered else ""
        raise CommandFailed(f"the flows were not all registered: {why}{before}")
    if RECOVERY in registered:
        _install_automations(env)
    console.print(f"  flows deployed: {', '.join(registered)}", soft_wrap=True, markup=False)


def _install_automations(env: Mapping[str, str]) -> None:
    """Let the server start the recovery where a run is cut off."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.cli.console.automations import install_automations

    server: dict[Any, str | None] = {
        PREFECT_API_URL: env.get("PREFECT_API_URL"),
        PREFECT_API_AUTH_STRING: env.get("PREFECT_API_AUTH_STRING"),
    }
    try:
        with temporary_settings(server), get_client(sync_client=True) as client:
            install_automations(client)
    except (PrefectException, httpx.HTTPError) as error:
        raise CommandFailed(
            f"the flows were registered, but the Prefect server at {env.get('PREFECT_API_URL')} took no automation"
            f" that starts {RECOVERY} where a run is cut off: {error}; {_AGAIN}"
        ) from error


def _why(said: str, state: Path, project: Path, server: str) -> str:
    """Why Prefect did not do it, and what to do."""
    log = state / "logs" / "prefect-server.log"
    if unreadable := _UNREADABLE.search(said):
        reason = " ".join(unreadable[1].split()).rstrip(".")
        return f"{project / 'prefect.yaml'} cannot be read: {reason}; mend it, or take it from the commit"
    if pool := _NO_POOL.search(said):
        return (
            f"the Prefect server at {server} has no work pool {pool[1]}, which prefect.yaml names: make it"
            f" (prefect work-pool create {pool[1]} --type process --base-job-template deployments/work-pool.json), or"
            f" {_AGAIN}"
        )
    if _UNAUTHORIZED.search(said):
        return (
            f"the Prefect server at {server} refuses the key: PREFECT_API_AUTH_STRING in {state / 'local.env'} is not"
            f" its own; {_AGAIN}, with a new key"
        )
    if _UNREACHABLE.search(said):
        return f"the Prefect server at {server} does not answer: look at {log}; {_AGAIN}"
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip(" ╭╮╰╯─│")), "it said nothing")
    return f"{last} (`prefect deploy --all` in {project}; the server's log is {log})"
