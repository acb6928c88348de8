"""How far a backfill has come, as a bar in a terminal, or as a line now and then where there is none."""

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table

from migrations.backfill.operation import BackfillProgress

LINES = 10


class BackfillBar:
    """Shows progress in a status line.

    Args:
        console: where lines are printed.
        status: the status line of that console.
    """

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status
        self._printed: tuple[str, str, int, str] | None = None

    def __call__(self, progress: BackfillProgress, /) -> None:
        """Show it."""
        text = f"backfill of {progress}"
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=1.0, completed=progress.share, width=24), text)
        self._status.update(grid)
        step = (progress.revision, progress.table, int(progress.share * LINES), progress.waiting.partition(" ")[0])
        if progress.finished or (not self._console.is_terminal and step != self._printed):
            self._printed = step
            self._console.print(f"  {text}", markup=False, soft_wrap=True)
