"""`pilotage release`: releases by hand."""

import getpass
import socket
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.ledger import Ledger, ReleaseLeftovers, holder_state
from deployments.settings import load_settings
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.ledger import release_facts, steps_table
from tasks import production_state
from tasks.acts import rule_of
from tasks.values import ReleaseRequest

if TYPE_CHECKING:
    from tasks.steps.release_keeping import StateToKeep

SHOWN = 20

app = typer.Typer(no_args_is_help=True, help="Releases by hand.")


@app.callback()
def release() -> None:
    """Releases by hand."""


@app.command()
def start(
    ref: Annotated[str, typer.Argument(help="Branch, tag or commit to release.")],
    target_revision: Annotated[str, typer.Option(help="Revision to migrate to.")] = "head",
    watch_seconds: Annotated[int, typer.Option(help="How long production is watched.")] = 60,
    reset_staging: Annotated[bool, typer.Option("--reset-staging", help="Make staging a copy of production.")] = False,
    rehearse: Annotated[bool, typer.Option(help="Try the plan on a branch of production first.")] = True,
    doctor: Annotated[bool, typer.Option(help="Ask Neon and Vercel first whether a release could run.")] = True,
) -> None:
    """Start a release through Prefect's API and follow it to its end."""
    from flows.cli.console import flow_runs
    from flows.cli.doctor import refuse_unready

    with exit_on_error():
        try:
            request = ReleaseRequest(
                ref=ref,
                target_revision=target_revision,
                watch_seconds=watch_seconds,
                reset_staging=reset_staging,
                rehearse=rehearse,
            )
        except ValidationError as error:
            raise CommandFailed("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())) from None
        if doctor:
            refuse_unready()
        flow_runs.run_to_end("release/release", {"request": request.model_dump()})


@app.command()
def abandon(
    release_id: Annotated[str, typer.Argument(help="Id of a release that nobody runs any more.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the ledger later.")] = "closed by hand",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Close a release whose process is gone, after showing what it left."""
    console = Console(highlight=False)
    from tasks import gates

    with exit_on_error(), Ledger.open(load_settings().ledger_url) as ledger:
        ledger.abandonable(release_id)
        show_leftovers(console, ledger.leftovers(release_id))
        if not yes:
            typer.confirm(f"Close {release_id}? What it left stays as it is", abort=True)
        closed = ledger.abandon(release_id, reason=reason, by=f"{_user()}@{socket.gethostname()}")
        next_step = gates.leads_on_from(closed, ledger)
    console.print(Text(f"{closed.id} is closed: {closed.summary}"))
    console.print(Text(f"What to do: {next_step}"), soft_wrap=True)


@app.command()
def keep(
    release_id: Annotated[str, typer.Argument(help="Id of a release that is held, undecided or abandoned.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the ledger later.")] = "decided by hand",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Keep what an undecided or abandoned release left in production, after showing it: the next one starts there."""
    from tasks.steps import release_keeping

    console = Console(highlight=False)
    with exit_on_error():
        found = release_keeping.read_state_to_keep(release_id)
        show_leftovers(console, found.left)
        show_kept(console, found)
        if not yes:
            typer.confirm(f"Keep what {release_id} left? Nothing in production is changed", abort=True)
        kept = release_keeping.keep_state(found, reason=reason, by=f"{_user()}@{socket.gethostname()}")
    console.print(Text(f"{kept.id} is kept: {kept.summary}"))


def show_kept(console: Console, found: "StateToKeep") -> None:
    """Show what production is from then on, and what nobody released in it.

    Args:
        console: Where to.
        found: What stands there.
    """
    console.print(Text("\nProduction from then on", style="bold"))
    table = Table(box=None, show_header=False)
    table.add_row("Revision", Text(", ".join(found.live.revisions) or "none"))
    table.add_row("Serves", Text(found.serving or "nothing"))
    console.print(table)
    if found.by_hand is None:
        console.print(Text(f"What of it was made by hand cannot be told: {found.why}", style="bold red"))
    for one in (found.by_hand or ())[:SHOWN]:
        console.print(Text(f"by hand: {one.kind} {one.name} {one.change}", style="bold red"))
    if len(found.by_hand or ()) > SHOWN:
        console.print(Text(f"and {len(found.by_hand or ()) - SHOWN} more by hand", style="bold red"))


def show_leftovers(console: Console, left: ReleaseLeftovers) -> None:
    """Show what a release began and did not finish, and what has to be looked at by hand.

    Args:
        console: Where to.
        left: What the ledger tells of it.
    """
    console.print(release_facts(left.release))
    if holder_state(left.release.holder) == "alive":
        console.print(Text("Its lease has expired, but its process still lives: stop it first.", style="bold red"))
    if left.unfinished:
        console.print(Text("\nBegun and not finished: whether it took effect is not known", style="bold"))
        console.print(steps_table(left.unfinished))
        for name in dict.fromkeys(one.step for one in left.unfinished):
            if (rule := rule_of(name)) is not None and not rule.only_reads:
                console.print(
                    Text(f"{name}: to see whether it was done: {rule.recognised}; then: {rule.leads_on}"),
                    soft_wrap=True,
                )
    table = Table(box=None, show_header=False)
    for what, names in (("Branches", left.branches), ("Deployments", left.deployments)):
        if names:
            table.add_row(what, Text(", ".join(names)))
    for label, words in current_state_rows(left):
        table.add_row(label, words)
    if table.row_count:
        console.print(Text("\nMade or changed", style="bold"))
        console.print(table)
    elif not left.unfinished:
        console.print(Text("\nIt left nothing behind that the ledger knows of."))


def current_state_rows(left: ReleaseLeftovers) -> list[tuple[str, Text]]:
    """What became of the maintenance mode and the protection that a release changed: as the services say it now.

    Args:
        left: What the ledger tells of the release.
    """
    settings, rows = load_settings(), list[tuple[str, Text]]()
    if left.maintenance:
        on = {
            True: Text("on: writes are refused until it is taken off", style="bold red"),
            False: Text("was switched on, and is off now"),
            None: Text("was switched on; cannot tell whether it still is", style="bold"),
        }
        rows.append(("Maintenance mode", on[production_state.maintenance(settings)]))
    if left.protection_lifted:
        protected = {
            True: Text("was lifted; production's branch is protected now"),
            False: Text(
                "lifted: production's branch is unprotected; the rollback that goes on protects it again",
                style="bold red",
            ),
            None: Text(
                "was lifted; cannot tell whether production's branch is protected: Neon does not say", style="bold"
            ),
        }
        rows.append(("Protection", protected[production_state.protected(settings)]))
    return rows


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
