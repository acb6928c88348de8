"""What happens while revisions are applied, as lines in a terminal."""

import re
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from flows.cli.console.backfill_bar import BackfillBar
from migrations.apply.progress import OnEvent, Progress
from migrations.backfill.operation import reporting_progress


@contextmanager
def show_events(console: Console) -> Generator[OnEvent]:
    """Show each event; how far the build of an index has come stays on one line of a terminal.

    Args:
        console: where to show it.
    """
    with console.status("looking at what stands") as status:
        builds: set[str] = set()

        def tell(event: Progress) -> None:
            if event.kind == "building":
                status.update(f"{event.revision}: {escape(event.detail)}")
                # Where lines cannot be written over, each phase is told once.
                phase = re.sub(r"\d+", "", event.detail)
                if console.is_terminal or phase in builds:
                    return
                builds.add(phase)
            for line in event_lines(event):
                console.print(f"  {line}", markup=False, soft_wrap=True)

        with reporting_progress(BackfillBar(console, status)):
            yield tell


def event_lines(event: Progress) -> list[str]:
    """An event in words."""
    tries = f" (try {event.attempt})" if event.attempt > 1 else ""
    head = f"{event.kind} {event.revision}{tries}"
    match event.kind:
        case "waiting":
            return [f"{head}, for {event.detail}:", *(f"  {one}" for one in event.sessions)]
        case "ended":
            return [f"{head}: held {event.detail}:", *(f"  {one}" for one in event.sessions)]
        case "building" | "resumed":
            return [f"{head}: {event.detail}"]
        case _:
            return [head]
