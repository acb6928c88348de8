"""`pilotage local`: the local platform up and down, and traffic on it."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from deployments.local.errors import LocalPlatformError, PlatformDownError
from deployments.local.supervisor import platform
from deployments.local.traffic.figures import TrafficReport
from deployments.local.traffic.run import run_traffic
from flows.cli.console.addresses import ApplicationAddress
from flows.cli.console.command_errors import exit_on_error, stderr_console
from flows.cli.console.deploying import deploy_flows
from flows.cli.console.locations import DEFAULT_STATE_FOLDER

app = typer.Typer(
    help="A platform on this machine: PostgreSQL behind Neon's API, Vercel, Slack, traffic.", no_args_is_help=True
)
console = Console(highlight=False)

State = Annotated[
    Path, typer.Option("--state", help="Folder of the platform; several side by side need one each.", file_okay=False)
]


@contextmanager
def _clearly() -> Generator[None]:
    try:
        yield
    except LocalPlatformError as error:
        stderr_console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None


@app.command()
def up(
    state: State = DEFAULT_STATE_FOLDER,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is up, and leave it running.")] = False,
    pipeline: Annotated[bool, typer.Option("--pipeline", help="With Prefect's server, worker and our flows.")] = False,
) -> None:
    """Bring the local platform up, afresh, and write its settings to local.env."""
    with exit_on_error(), _clearly():
        status = platform.up(
            state,
            detach=detach,
            pipeline=pipeline,
            on_progress=lambda line: console.print(f"  {line}", markup=False),
            on_up=lambda: deploy_flows(state) if pipeline else None,
        )
    if detach:
        console.print(_described(status))


@app.command()
def down(state: State = DEFAULT_STATE_FOLDER) -> None:
    """Stop the local platform and remove its data."""
    with _clearly():
        ran = platform.down(state)
    console.print("the local platform is down" if ran else f"no platform ran in {state}", soft_wrap=True)


@app.command()
def status(state: State = DEFAULT_STATE_FOLDER) -> None:
    """Show what runs, and where."""
    found = platform.status(state)
    if found is None:
        with _clearly():
            raise PlatformDownError(state)
    console.print(_described(found))


@app.command()
def traffic(
    state: State = DEFAULT_STATE_FOLDER,
    users: Annotated[int, typer.Option(min=1, max=500, help="How many people read and write.")] = 12,
    rate: Annotated[float, typer.Option(min=0.1, max=2000, help="Requests a second, all together.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="How long.")] = 30,
    url: ApplicationAddress = None,
    acknowledged: Annotated[Path | None, typer.Option(help="File for the time and id of each message kept.")] = None,
) -> None:
    """Read and write on production at a steady rate, and tell how it went."""
    stop = threading.Event()
    file = acknowledged or state / "acknowledged.txt"
    with _clearly(), _stopped_by_ctrl_c(stop):
        address = url or platform.read_env(state)["PRODUCTION_URL"]
        with Live(console=console, refresh_per_second=2) as live:
            report = run_traffic(
                address,
                users=users,
                rate=rate,
                seconds=seconds,
                acknowledged=file,
                on_progress=lambda so_far: live.update(_figures(so_far)),
                stop=stop,
            )
            live.update(_figures(report))
    for failure in report.failures[:10]:
        console.print(f"  {failure}", markup=False, style="red", soft_wrap=True)
    console.print(f"{report.acknowledged} acknowledged messages are listed in {file}", soft_wrap=True)


@contextmanager
def _stopped_by_ctrl_c(stop: threading.Event) -> Generator[None]:
    """Let Ctrl-C end the traffic in good order, with its figures."""

    def end(_number: int, _frame: object) -> None:
        stop.set()

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _described(status: platform.PlatformStatus) -> Table:
    table = Table(box=None, show_header=False)
    age_s = (datetime.now(UTC) - status.started_at).total_seconds()
    table.add_row("supervisor", f"process {status.pid}, up for {age_s:.0f} s")
    table.add_row("production", status.production_url)
    table.add_row("Neon API", f"{status.neon_url}/api/v2")
    table.add_row("Vercel API", status.vercel_url)
    table.add_row("Slack messages", status.slack_url)
    table.add_row("Prefect", status.prefect_ui_url or "not started (--pipeline)")
    if status.prefect_ui_url:
        table.add_row("Prefect's key", f"PREFECT_API_AUTH_STRING in {status.state / 'local.env'}; its pages ask for it")
    table.add_row("settings", str(status.state / "local.env"))
    return table


def _figures(report: TrafficReport) -> Table:
    table = Table(box=None, show_header=False)
    table.add_row("requests", f"{report.requests} by {report.users} users")
    table.add_row("errors", f"{report.errors}", style="red" if report.errors else None)
    table.add_row("refused (maintenance)", f"{report.refused}")
    table.add_row("latency", f"P50 {report.p50_ms:.0f} ms   P95 {report.p95_ms:.0f} ms   P99 {report.p99_ms:.0f} ms")
    if report.unsent:
        table.add_row("not sent in time", f"{report.unsent}")
    return table
