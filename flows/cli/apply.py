"""`pilotage apply`: bring a database to a revision, without making its users wait."""

import dataclasses
import getpass
import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.console.apply_output import show_events
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.console.database import Environment, owner_dsn
from flows.cli.console.project import AsJson, Config, DatabaseUrl, ScriptLocation, UrlVariable, load_history
from migrations.apply.lock_queue_guard import END_IDLE_AFTER_S, HolderPolicy
from migrations.apply.migrate import upgrade
from migrations.database.time_limits import STATEMENT_TIMEOUT_S

# Whoever waits for a lock makes everybody wait behind it. The bounds are those of the settings of a release.
LockTimeout = Annotated[int, typer.Option(min=1, max=60_000, help="Milliseconds that a statement waits for a lock.")]
Budget = Annotated[
    float, typer.Option(min=0.1, max=3600, help="Seconds that a revision is tried again while others hold locks.")
]

Policy = Annotated[
    HolderPolicy, typer.Option(help="wait for whoever stands in the way, or end those that sit idle in a transaction.")
]
EndIdleAfter = Annotated[
    float, typer.Option(min=0, max=86_400, help="Seconds that such a session has sat before it is ended.")
]
StatementTimeout = Annotated[
    float,
    typer.Option(min=0, max=3600, help="Seconds that a statement may run which makes others wait; 0 for no limit."),
]


def apply(
    environment: Environment = "development",
    database_url: DatabaseUrl = None,
    config: Config = None,
    script_location: ScriptLocation = None,
    url_variable: UrlVariable = "DATABASE_URL",
    target: Annotated[str, typer.Option(help="head, heads, or a revision.")] = "head",
    lock_timeout_ms: LockTimeout = 100,
    budget_s: Budget = 60.0,
    policy: Policy = "wait",
    end_idle_after_s: EndIdleAfter = END_IDLE_AFTER_S,
    statement_timeout_s: StatementTimeout = STATEMENT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Apply what is missing: a revision a transaction, never waiting long for a lock."""
    console = Console(stderr=as_json, highlight=False)
    with exit_on_error():
        if environment == "production" and database_url is None:
            raise CommandFailed("production is migrated by a release, which can take it back: pilotage release start")
        dsn = owner_dsn(environment, database_url)

        with show_events(console) as tell:
            done = upgrade(
                dsn,
                load_history(config, script_location, url_variable),
                target=target,
                release_id=f"by hand: {getpass.getuser()} {datetime.now(UTC):%Y-%m-%d %H:%M}",
                lock_timeout_ms=lock_timeout_ms,
                budget_s=budget_s,
                on_event=tell,
                policy=policy,
                end_idle_after_s=end_idle_after_s,
                statement_timeout_s=statement_timeout_s,
            )
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in done], indent=2, default=str))
        return
    console.print(f"{len(done)} revisions applied" if done else "nothing to apply")
    for one in done:
        if one.blocked:
            longest = one.blocked[0]
            console.print(
                f"  {one.revision} made {len(one.blocked)} sessions wait, for {one.blocked_ms} ms at most: "
                f"pid {longest.pid} of {longest.user}: {longest.query}",
                markup=False,
            )
