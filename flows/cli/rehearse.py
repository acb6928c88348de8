"""`pilotage rehearse`: the pending revisions tried on a copy, and what that proves."""

import getpass
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.project import Config, ScriptLocation, UrlVariable, load_history
from flows.cli.console.throwaway_server import throwaway_server
from migrations.database.session import reader
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import History, current_revisions
from migrations.plan.planned_revisions import make_plan
from migrations.rehearsal.compatibility.observed_statements import Application, running_application
from migrations.rehearsal.dress_rehearsal import rehearse as try_plan
from migrations.rehearsal.evidence import Evidence
from migrations.rehearsal.evidence_report import render, timeline

BRANCH_HOURS = 2

Ref = Annotated[
    str | None,
    typer.Option("--ref", help="Rehearse this ref by the flow of that name, instead of the revisions at hand."),
]
Copy = Annotated[
    str | None, typer.Option("--on-copy", help="Connection string of a copy that nobody needs: it is changed.")
]
Role = Annotated[str | None, typer.Option("--app-role", help="Role whose statements must go on working.")]
JsonFile = Annotated[Path | None, typer.Option("--evidence", help="Write the evidence to this file, as JSON.")]
Budget = Annotated[float, typer.Option(min=1, max=60_000, help="Longest that a client may wait, in milliseconds.")]
SvgFile = Annotated[Path | None, typer.Option("--svg", help="Write the picture of the locks to this file.")]


def rehearse(
    ref: Ref = None,
    on_copy: Copy = None,
    app_role: Role = None,
    config: Config = None,
    script_location: ScriptLocation = None,
    url_variable: UrlVariable = "DATABASE_URL",
    target: Annotated[str, typer.Option(help="head, heads, or a revision.")] = "head",
    blocking_budget_ms: Budget = 500.0,
    evidence: JsonFile = None,
    svg: SvgFile = None,
) -> None:
    """Try what is pending on a fresh branch of production, or on a copy; exit 1 where a release would stop.

    The branch is deleted afterwards.
    """
    if ref is not None:
        with exit_on_error():
            _by_prefect(ref, target, alone=(on_copy, config, script_location) == (None, None, None))
        return
    with exit_on_error(), ExitStack() as ends:
        history = load_history(config, script_location, url_variable)
        if on_copy is not None:
            found = _tried(ends, on_copy, on_copy, app_role, history, target)
        else:
            copy, production, role = ends.enter_context(branch_of_production())
            found = _tried(ends, copy, production, app_role or role, history, target)
    for file, text in ((evidence, found.to_json()), (svg, timeline(found))):
        if file is not None:
            file.write_text(text, encoding="utf-8")
    Console(highlight=False).print(Markdown(render(found, blocking_budget_ms=blocking_budget_ms)))
    if found.problems(blocking_budget_ms=blocking_budget_ms):
        raise typer.Exit(1)


def _by_prefect(ref: str, target: str, *, alone: bool) -> None:
    from flows.cli.console import flow_runs

    if not alone:
        raise CommandFailed("--ref names a commit of the release repository: it goes with neither a copy nor a project")
    flow_runs.run_to_end("rehearse/rehearse", {"ref": ref, "target_revision": target})


def _tried(ends: ExitStack, copy: str, statistics: str, role: str | None, history: History, target: str) -> Evidence:
    history = with_version_table(copy, history)
    sent: Application | None = None
    with reader(copy) as connection:
        current = current_revisions(connection, history.version_table)
    if role is not None:
        with reader(statistics) as connection:
            sent = running_application(connection, role)
    plan = make_plan(ends.enter_context(throwaway_server()), history, current=current, target=target)
    if not plan.revisions:
        raise CommandFailed(f"nothing is pending: the copy stands at {', '.join(current)}")
    return try_plan(copy, history, plan, sent)


@contextmanager
def branch_of_production() -> Generator[tuple[str, str, str]]:
    """A branch of production of one's own: its DSN, production's to read the statistics from, and the role."""
    from tasks import connections

    settings = connections.settings()
    client = connections.neon(settings, in_release=False)
    production = connections.production_branch(settings)
    branch = client.create_branch(
        f"rehearsal-{getpass.getuser()}-{int(time.time())}",
        parent_id=production.id,
        compute=True,
        expires_at=datetime.now(UTC) + timedelta(hours=BRANCH_HOURS),
    )
    try:
        yield (
            connections.owner_dsn(settings, branch),
            connections.owner_dsn(settings, production),
            settings.neon_app_role,
        )
    finally:
        client.delete_branch(branch.id)
