"""`pilotage env check`: whether the settings are complete, and safe where they lie."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.git.worktree import Worktree
from flows.cli.console import environment_findings as look
from flows.cli.console.environment_findings import Environment, Finding, Need
from flows.cli.console.failing import clearly

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
    with clearly():
        needs = look.needs(environment)
        worktree = Worktree.around(folder)
        findings = [
            *look.unmet(needs),
            *look.malformed(),
            *(look.committed(worktree) if worktree else ()),
            *look.readable(look.files_of_settings(os.environ.get("PILOTAGE_ENV_FILE"), folder)),
            *look.example(folder / look.EXAMPLE),
        ]
    if as_json:
        document = {
            "ok": not findings,
            "environment": environment,
            "findings": [asdict(one) for one in findings],
            "commands": [asdict(one) | {"ready": not one.missing} for one in needs],
            "worktree": str(worktree.root) if worktree else None,
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(findings, needs, worktree)
    if findings:
        raise typer.Exit(1)


def _show(findings: list[Finding], needs: tuple[Need, ...], worktree: Worktree | None) -> None:
    for one, following in zip(findings, [*findings, None][1:], strict=True):
        console.print(f"✘ {one.subject} {one.detail}", markup=False, soft_wrap=True, style="red")
        if following is None or following.advice != one.advice:
            console.print(f"    {one.advice}", markup=False, soft_wrap=True)
    if worktree is None:
        console.print(
            "? this folder is in no git repository: whether .env is committed could not be told", soft_wrap=True
        )
    for need in needs:
        if not need.missing:
            console.print(f"✔ {need.commands}: ready", markup=False, soft_wrap=True)
        else:
            lacking = ", ".join(problem.partition(" ")[0].rstrip(":") for problem in need.missing)
            console.print(f"- {need.commands}: needs {lacking}", markup=False, soft_wrap=True)
