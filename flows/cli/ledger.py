"""`pilotage ledger`: the releases that were, and each act of one."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from deployments.ledger import Json, Ledger, Message, Release, ReleaseState, Step, StepEvent, holder_state
from deployments.settings import load_settings
from flows.cli.console.command_errors import exit_on_error

STATE_STYLES: dict[ReleaseState, str] = {
    "running": "cyan",
    "succeeded": "green",
    "rolled_back": "yellow",
    "failed": "red",
    "undecided": "bold red",
    "abandoned": "magenta",
}
EVENT_STYLES: dict[StepEvent, str] = {"begun": "cyan", "done": "green", "failed": "red", "noted": "dim"}


def ledger(
    release_id: Annotated[str | None, typer.Argument(help="Show every act of this release.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many releases, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the latest releases, or each act of one."""
    with exit_on_error(), Ledger.open(load_settings().ledger_url) as opened:
        if release_id is None:
            releases = opened.releases(limit=limit)
            shown = {"releases": [dataclasses.asdict(each) for each in releases]}
            picture = releases_table(releases)
        else:
            release, steps = opened.release(release_id), opened.steps(release_id)
            untold = opened.untold(release_id)
            shown = {
                "release": dataclasses.asdict(release),
                "steps": [dataclasses.asdict(each) for each in steps],
                "not_told": [dataclasses.asdict(each) for each in untold],
            }
            picture = Group(release_facts(release), steps_table(steps), *untold_messages(untold))
    if as_json:
        typer.echo(json.dumps(shown, indent=2, default=_plain))
    else:
        Console(highlight=False).print(picture)


def releases_table(releases: Sequence[Release]) -> Table | Text:
    """Releases, one a line; their ids tell when they began, in UTC."""
    if not releases:
        return Text("The ledger has no release yet.")
    several = len({each.target for each in releases}) > 1
    table = Table(box=None)
    for heading in ("Release", *(("Target",) if several else ()), "Ref", "State", "Took"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Summary")
    for each in releases:
        table.add_row(
            each.id,
            *((Text(each.target),) if several else ()),
            Text(each.ref),
            state_text(each),
            _span((each.ended_at or datetime.now(UTC)) - each.started_at),
            Text(each.summary),
        )
    return table


def release_facts(release: Release) -> Table:
    """All that the ledger knows of one release, beside its steps."""
    table = Table(box=None, show_header=False)
    table.add_row("Release", Text(release.id))
    table.add_row("State", state_text(release))
    table.add_row("Target", Text(release.target))
    table.add_row("Ref", Text(f"{release.ref} at {release.commit_sha}"))
    table.add_row("Revision", Text(release.target_revision))
    table.add_row("Asked by", Text(release.requested_by))
    table.add_row("Flow run", Text(release.flow_run_id or "-"))
    table.add_row("Holder", Text(release.holder))
    table.add_row("Lease until", Text(_moment(release.lease_expires_at)))
    table.add_row("Started", Text(_moment(release.started_at)))
    if release.ended_at is not None:
        took = _span(release.ended_at - release.started_at)
        table.add_row("Ended", Text(f"{_moment(release.ended_at)} after {took}"))
        table.add_row("Summary", Text(release.summary))
    return table


def state_text(release: Release) -> Text:
    """A release's state; of a running one, whether anybody still runs it."""
    said = release.state.replace("_", " ")
    if release.state == "running":
        if holder_state(release.holder) == "gone":
            said += ", process gone"
        elif release.lease_expires_at <= datetime.now(UTC):
            said += ", lease expired"
    return Text(said, style=STATE_STYLES[release.state])


def steps_table(steps: Sequence[Step]) -> Table:
    """Steps in their order, each end with the time since its beginning."""
    table = Table("#", "At (UTC)", "Step", "Event", "Took", "Details", box=None)
    begun: dict[str, datetime] = {}
    for each in steps:
        if each.event == "begun":
            begun[each.step] = each.at
        since = begun.pop(each.step, None) if each.event in {"done", "failed"} else None
        table.add_row(
            str(each.seq),
            f"{each.at:%H:%M:%S}",
            Text(each.step),
            Text(each.event, style=EVENT_STYLES[each.event]),
            _span(each.at - since) if since else "",
            Text("\n".join(_details(each)), overflow="fold"),
        )
    return table


def untold_messages(messages: Sequence[Message]) -> Iterator[Text]:
    """The messages that Slack did not take, with all that they say."""
    if messages:
        yield Text("\nNot told to Slack, which did not take it", style="bold")
    for each in messages:
        yield Text(f"{_moment(each.at)}, {each.state}: {each.text}", style="yellow")
        yield from (Text(f"  {line}") for block in each.blocks[1:] for line in _lines(block))


def _lines(block: Json) -> Iterator[str]:
    """What a block says, wherever in it: the texts under `text`."""
    if isinstance(block, Mapping):
        said = block.get("text")
        if isinstance(said, str):
            yield from said.splitlines()
        for value in block.values():
            yield from _lines(value)
    elif isinstance(block, Sequence) and not isinstance(block, str):
        for each in block:
            yield from _lines(each)


def _details(step: Step) -> Iterator[str]:
    for key, value in step.details.items():
        yield f"{key}: {_brief(value)}"


def _brief(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
