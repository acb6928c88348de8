"""`pilotage doctor`: whether a release could run, asked of the real services, and nothing changed."""

import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from deployments.errors import SettingsError
from deployments.service import observed
from deployments.settings import load_settings
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from tasks.doctor.finding import Finding, State, bad, worst
from tasks.doctor.recording import Recorder

MARKS = {State.GOOD: ("✔", "green"), State.BAD: ("✘", "bold red"), State.CANNOT_TELL: ("?", "yellow")}
CODES = {State.GOOD: 0, State.BAD: 1, State.CANNOT_TELL: 2}

console = Console(highlight=False)


def doctor(
    record: Annotated[
        Path | None,
        typer.Option("--record", help="File for the shapes of all answers: keys and types, no values.", dir_okay=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask every service whether a release could run, changing nothing; exit 1 if not, 2 if something cannot be told."""
    recorder = Recorder()
    found: list[Finding] = []
    with exit_on_error(), observed(recorder.note) if record is not None else nullcontext():
        for one in _findings():
            found.append(one)
            if not as_json:
                show(one)
        if record is not None:
            _write(record, recorder.document())
    if as_json:
        typer.echo(json.dumps({"findings": [{**asdict(one), "state": one.state.value} for one in found]}, indent=2))
    else:
        count = {state: sum(one.state is state for one in found) for state in State}
        console.print(", ".join(f"{number} {state.value}" for state, number in count.items()))
    raise typer.Exit(CODES[worst(found)])


def _findings() -> Iterator[Finding]:
    # Prefect reads where its server is when it is imported: after the file of settings was.
    from tasks.doctor.examination import examine

    try:
        settings = load_settings()
    except SettingsError as error:
        for problem in error.problems:
            name, _, detail = problem.partition(" ")
            yield bad("settings", f"{name.rstrip(':')} {detail}", "set it; .env.example says what it is")
        return
    yield from examine(settings)


def show(one: Finding) -> None:
    """Print a line of the examination, and below it what to do."""
    mark, style = MARKS[one.state]
    console.print(Text(f"{mark} {one.line}: {one.detail}", style=style), soft_wrap=True)
    if one.advice:
        console.print(Text(f"    {one.advice}"), soft_wrap=True)


def refuse_unready() -> None:
    """Look at what a few reads tell before a release is started, and refuse one that could not run.

    Where the settings are not here, such as on a machine that only knows Prefect's server, the release looks itself.

    Raises:
        CommandFailed: something keeps a release from running; it is named with what to do.
    """
    from tasks.doctor.examination import examine

    try:
        settings = load_settings()
    except SettingsError:
        return
    found = [one for one in examine(settings, thorough=False) if one.state is not State.GOOD]
    wrong = [str(one) for one in found if one.state is State.BAD]
    if wrong:
        raise CommandFailed(
            f"a release could not run: {'; '.join(wrong)}. Nothing was started; `pilotage doctor` looks at everything,"
            " and --no-doctor starts one all the same"
        )


def _write(file: Path, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from error
