"""`pilotage recover`: finish a release or rollback whose process died."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from flows.cli.console.command_errors import exit_on_error
from flows.cli.release import show_leftovers

if TYPE_CHECKING:
    from flows.dead_release import PlannedRecovery


def recover(
    release_id: Annotated[
        str | None, typer.Argument(help="Id of the release or rollback; without it, the one that has not ended.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Finish a release or rollback whose process died, after showing what stands and what is done about it."""
    from flows.cli.console import flow_runs
    from flows.dead_release import plan_recovery, read_dead_release
    from tasks import gates

    console = Console(highlight=False)
    with exit_on_error():
        found = gates.release_to_recover(release_id, wait=False)
        if found.release is None:
            console.print(Text(f"Nothing to recover: {found.why}"), soft_wrap=True)
            return
        planned = plan_recovery(read_dead_release(found.release))
        show_plan(console, planned)
        if dry_run:
            return
        if not yes:
            typer.confirm(f"Finish {found.release.id} so?", abort=True)
        flow_runs.run_to_end("recover/recover", {"release_id": found.release.id})


def show_plan(console: Console, planned: "PlannedRecovery") -> None:
    """Show what was under way, what stands, and what is done about it and why.

    Args:
        console: Where to.
        planned: How the release is finished.
    """
    show_leftovers(console, planned.dead.left)
    for heading, words in (
        ("What happened", planned.dead.ended),
        ("What stands", planned.standing),
        ("What will be done", planned.description),
    ):
        console.print(Text(f"\n{heading}", style="bold"))
        console.print(Text(words), soft_wrap=True)
