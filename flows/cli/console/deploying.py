"""The flows of prefect.yaml registered with the Prefect server of a local platform."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from deployments.local.supervisor import platform
from flows.cli.console.command_errors import CommandFailed
from flows.cli.console.locations import REPOSITORY_ROOT

console = Console(highlight=False)


def deploy_flows(state: Path) -> None:
    """Register the flows, so that releases can be started.

    Raises:
        CommandFailed: Prefect refused them; its words say why.
    """
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, **platform.read_env(state)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandFailed(f"prefect deploy failed:\n{done.stdout}\n{done.stderr}")
    console.print("  flows deployed: release, rollback, rehearse, drift-check")
