"""`pilotage lint`: what revisions, or plain SQL, would do to the clients of a live database."""

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer
from alembic.config import Config
from rich.console import Console
from rich.markup import escape

from flows.cli.console.command_errors import CommandFailed, stderr_console
from flows.cli.console.database import owner_dsn
from flows.cli.console.throwaway_server import server_for_throwaways
from migrations.database.session import reader
from migrations.errors import MigrationError
from migrations.history.revisions import History, current_revisions
from migrations.lint.findings import Finding
from migrations.lint.judging import lint
from migrations.lint.live import read_context
from migrations.lint.locations import alembic_config, load
from migrations.lint.recorded import record_what_runs
from migrations.lint.revisions import LintReport, lint_history
from migrations.lint.sql_files import read_sql
from migrations.plan.report import counted
from migrations.recording.recorded_statements import RecordedStatement
from migrations.sql.database_context import DatabaseContext, Thresholds

COULD_NOT_TELL = 2

Files = Annotated[list[Path] | None, typer.Argument(help="With --sql: files, which in this order are one history.")]
Sql = Annotated[bool, typer.Option("--sql", help="Judge files of plain SQL instead of revisions.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="alembic.ini or pyproject.toml of another project.")]
Location = Annotated[Path | None, typer.Option("--script-location", help="Folder with versions/, of another project.")]
Url = Annotated[
    str | None,
    typer.Option("--database-url", help="Database whose tables, sizes and traffic are looked at."),
]
Target = Annotated[str, typer.Option(help="Up to this revision.")]
Since = Annotated[str | None, typer.Option(help="Judge what is above this revision, as one plan.")]
Rows = Annotated[int, typer.Option("--large-rows", min=1, help="Rows from which on a table is large.")]
Megabytes = Annotated[int, typer.Option("--large-mb", min=1, help="Megabytes from which on a table is large.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def lint_command(
    files: Files = None,
    sql: Sql = False,
    config: ConfigFile = None,
    script_location: Location = None,
    database_url: Url = None,
    target: Target = "heads",
    since: Since = None,
    large_rows: Rows = Thresholds.rows,
    large_mb: Megabytes = Thresholds.size_bytes // 1024**2,
    as_json: AsJson = False,
) -> None:
    """Judge revisions before they run; exit 1 where a hazard is not waived, 2 where something cannot be told."""
    limits = Thresholds(rows=large_rows, size_bytes=large_mb * 1024**2)
    try:
        if bool(files) != sql:
            raise CommandFailed("name the files behind --sql: pilotage lint --sql a.sql b.sql")
        # What env.py and revisions print is not the report.
        with redirect_stdout(sys.stderr):
            if files:
                report = _of_files(files, _looked_at(database_url, limits))
            else:
                place = alembic_config(config, script_location)
                report = _of_revisions(place, database_url, limits, target=target, since=since)
    except (CommandFailed, MigrationError) as error:
        stderr_console.print(f"[red]cannot tell:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(COULD_NOT_TELL) from None
    if as_json:
        typer.echo(json.dumps(as_document(report), indent=2))
    else:
        show(report, Console(highlight=False))
    if unwaived(report.findings):
        raise typer.Exit(1)
    if report.unknown:
        raise typer.Exit(COULD_NOT_TELL)


def unwaived(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that stop a release."""
    return [one for one in findings if one.waived_by is None]


def as_document(report: LintReport) -> dict[str, object]:
    """The report for a machine; `ok` is false as soon as a hazard is not waived or something cannot be told."""
    return {
        "ok": not unwaived(report.findings) and not report.unknown,
        "judged": list(report.judged),
        "findings": [dataclasses.asdict(one) for one in report.findings],
        "cannot_tell": dict(report.unknown),
    }


def show(report: LintReport, console: Console) -> None:
    """Each hazard with its place, its statement, and what to do instead."""
    for one in unwaived(report.findings):
        console.print(f"[red]✘[/] {escape(f'{one.file}:{one.line}: {one.hazard}')}", soft_wrap=True)
        if one.statement:
            console.print(f"    {one.statement}", markup=False, soft_wrap=True, style="dim")
        console.print(f"    {one.message}", markup=False, soft_wrap=True)
    taken = Counter((one.file, one.hazard, one.waived_by) for one in report.findings if one.waived_by is not None)
    for (file, hazard, reason), times in taken.items():
        often = f", {times} times" if times > 1 else ""
        console.print(f"~ {file}: {hazard} (waived{often}: {reason})", markup=False, soft_wrap=True, style="dim")
    for revision, why in report.unknown.items():
        console.print(f"[yellow]?[/] {escape(f'{revision}: what it sends cannot be told: {why}')}", soft_wrap=True)
    open_, waived = len(unwaived(report.findings)), len(report.findings) - len(unwaived(report.findings))
    what = f"{len(report.judged)} judged, {counted(open_, 'hazard')}, {waived} waived"
    console.print(f"{what}, {len(report.unknown)} cannot be told" if report.unknown else what)


def _of_files(files: Sequence[Path], context: DatabaseContext | None) -> LintReport:
    history = read_sql(files)
    findings = lint(history.statements, context, history.waivers)
    return LintReport(findings, tuple(str(file) for file in files), {})


def _looked_at(database_url: str | None, limits: Thresholds) -> DatabaseContext:
    if database_url is None:
        return DatabaseContext(thresholds=limits)
    return read_context(owner_dsn("development", database_url), limits)


def _of_revisions(
    place: Config | None, database_url: str | None, limits: Thresholds, *, target: str, since: str | None
) -> LintReport:
    history = load(place)
    current: tuple[str, ...] = () if since in {None, "base"} else (history.resolve(str(since)),)
    context: DatabaseContext | None = None
    if database_url is not None:
        dsn = owner_dsn("development", database_url)
        context = dataclasses.replace(read_context(dsn, limits), one_plan=True, lock_timeout_set=True)
        if since is None:
            with reader(dsn) as session:
                current = tuple(one for one in current_revisions(session) if one in history)
    judged = history.path_to(target, current)
    with ExitStack() as ends:
        return lint_history(
            place or history.alembic_config(),
            history,
            judged,
            context=context,
            one_plan=since is not None,
            record=lambda: _run(ends, history, database_url),
        )


def _run(ends: ExitStack, history: History, database_url: str | None) -> Mapping[str, Sequence[RecordedStatement]]:
    """Run the history on a throwaway database, where Alembic cannot write it down; nothing where that fails too."""
    try:
        server = ends.enter_context(server_for_throwaways(database_url))
        return record_what_runs(server, history)
    except (CommandFailed, MigrationError) as error:
        stderr_console.print(f"[yellow]no throwaway database:[/] {escape(str(error))}", soft_wrap=True)
        return {}
