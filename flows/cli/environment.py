"""`pilotage env check`: whether the settings are complete, and safe where they lie."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.git.worktree import Worktree
from flows.cli.console import environment_findings
from flows.cli.console.command_errors import exit_on_error
from flows.cli.console.environment_findings import CommandRequirement, Environment, Finding

app = typer.Typer(help="The settings of an environment.", no_args_is_help=True)
console = Console(highlight=False)


@app.callback()
def group() -> None:
    """The settings of an environment."""


@app.command()
def check(
    environment: Annotated[
        Environment, typer.Option("--environment", help="What the settings are for.")
    ] = "development",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that the settings are there, well formed and kept to oneself; exit 1 where they are not."""
    folder = Path()
    with exit_on_error():
        requirements = environment_findings.command_requirements(environment)
        worktree = Worktree.around(folder)
        findings = [
            *environment_findings.unmet_requirements(requirements),
            *environment_findings.malformed_variables(),
            *(environment_findings.committed_settings_files(worktree) if worktree else ()),
            *environment_findings.readable_settings_files(
                environment_findings.settings_files(os.environ.get("PILOTAGE_ENV_FILE"), folder)
            ),
            *environment_findings.example_findings(folder / environment_findings.EXAMPLE),
        ]
    if as_json:
        document = {
            "ok": not findings,
            "environment": environment,
            "findings": [asdict(one) for one in findings],
            "commands": [asdict(one) | {"ready": not one.missing} for one in requirements],
            "worktree": str(worktree.root) if worktree else None,
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(findings, requirements, worktree)
    if findings:
        raise typer.Exit(1)


def _show(findings: list[Finding], requirements: tuple[CommandRequirement, ...], worktree: Worktree | None) -> None:
    for one, following in zip(findings, [*findings, None][1:], strict=True):
        console.print(f"✘ {one.subject} {one.detail}", markup=False, soft_wrap=True, style="red")
        if following is None or following.advice != one.advice:
            console.print(f"    {one.advice}", markup=False, soft_wrap=True)
    if worktree is None:
        console.print(
            "? this folder is in no git repository: whether .env is committed could not be told", soft_wrap=True
        )
    for requirement in requirements:
        if not requirement.missing:
            console.print(f"✔ {requirement.commands}: ready", markup=False, soft_wrap=True)
        else:
            lacking = ", ".join(problem.partition(" ")[0].rstrip(":") for problem in requirement.missing)
            console.print(f"- {requirement.commands}: needs {lacking}", markup=False, soft_wrap=True)
