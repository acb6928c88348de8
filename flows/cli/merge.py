"""`pilotage merge`: two heads made one, where their order does not matter."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.throwaway_server import server_for_throwaways
from migrations.authoring.merge import Divergence, examine_divergence, linearize, write_merge
from migrations.history.revisions import History

console = Console(highlight=False)


def merge(
    order: Annotated[
        str | None,
        typer.Option("--order", help="The heads in the order that shall hold, with commas: makes one line of them."),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option("--database-url", help="Server for throwaway databases; by default DATABASE_URL's, else its own."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what each head does, prove that their order does not matter, and write the revision that merges them."""
    with exit_on_error():
        history = History.load()
        with server_for_throwaways(database_url) as server:
            found = examine_divergence(server, history)
            if order is not None:
                written = linearize(found, [history.resolve(one.strip()) for one in order.split(",")])
            else:
                written = () if found.order_matters else (write_merge(history, history.folders[0]),)
        if as_json:
            typer.echo(json.dumps(as_document(found, written), indent=2))
        else:
            show(found, written)
        if not written:
            heads = ",".join(one.head for one in found.branches)
            raise CommandFailed(
                f"the order of the heads matters, so nothing was written: mend one of them, or say which order shall "
                f"hold (--order {heads}), where the later branch is applied nowhere yet"
            )


def as_document(found: Divergence, written: tuple[Path, ...]) -> dict[str, object]:
    """What was found, for a machine."""
    return {
        "heads": [
            {
                "head": one.head,
                "revisions": [revision.path.name for revision in one.revisions],
                "changes": [str(change) for change in one.changes],
            }
            for one in found.branches
        ],
        "orders": [
            {"order": one.order, "failure": one.failure, "differences": [str(each) for each in one.differences]}
            for one in found.trials
        ],
        "order_matters": found.order_matters,
        "files": [str(file) for file in written],
    }


def show(found: Divergence, written: tuple[Path, ...]) -> None:
    """What was found, for a person."""
    for branch in found.branches:
        console.print(f"head {branch.head}", markup=False, style="bold")
        for revision in branch.revisions:
            console.print(f"  {revision.path.name}: {revision.message}", markup=False, soft_wrap=True)
        for change in branch.changes:
            console.print(f"    {change.kind} {change.name} {change.change}", markup=False, soft_wrap=True)
    for one in found.trials:
        order = " then ".join(one.order)
        if one.failure:
            console.print(f"{order}: fails: {one.failure}", markup=False, style="red", soft_wrap=True)
        for each in one.differences:
            console.print(f"{order}: {each}", markup=False, style="red", soft_wrap=True)
        if not one.failure and not one.differences:
            console.print(f"{order}: the same catalogue" if one is not found.trials[0] else f"{order}: applied")
    for file in written:
        console.print(f"wrote {file}", markup=False, soft_wrap=True)
