"""The `pilotage` command: one module a group."""

import os
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values

from deployments.redaction.redactor import learn_variables
from flows.cli import (
    apply,
    backfill,
    branch,
    check,
    db,
    demo,
    doctor,
    drift,
    encryption,
    environment,
    history,
    install,
    ledger,
    lint,
    local,
    merge,
    metrics,
    new,
    plan,
    recover,
    rehearse,
    release,
    reset,
    resolve,
    roles,
    rollback,
    schema,
    security,
    seed,
    status,
    studio,
    super_admin,
    worker,
)
from flows.cli.console.redacted_commands import RedactedGroup

app = typer.Typer(
    name="pilotage",
    cls=RedactedGroup,
    help="Bring a release into production, and back out when something goes wrong.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.add_typer(release.app, name="release")
app.add_typer(local.app, name="local")
app.command("status")(status.status)
app.command("history")(history.history)
app.command("apply")(apply.apply)
app.command("plan")(plan.plan)
app.command("rehearse")(rehearse.rehearse)
app.command("check")(check.check)
app.add_typer(db.app, name="db")
app.command("new")(new.new)
app.command("schema")(schema.schema)
app.command("merge")(merge.merge)
app.command("reset")(reset.reset)
app.command("resolve")(resolve.resolve)
app.command("studio")(studio.studio)
app.add_typer(branch.app, name="branch")
app.add_typer(backfill.app, name="backfill")
app.add_typer(environment.app, name="env")
app.command("ledger")(ledger.ledger)
app.command("lint")(lint.lint_command)
app.command("rollback")(rollback.rollback)
app.command("recover")(recover.recover)
app.command("doctor")(doctor.doctor)
app.command("install")(install.install)
app.command("worker")(worker.worker)
app.command("drift")(drift.drift)
app.command("seed")(seed.seed)
app.command("roles")(roles.roles)
app.command("metrics")(metrics.metrics)
app.command("security-check")(security.security_check)
app.command("rotate-keys")(encryption.rotate_keys)
app.command("create-super-admin")(super_admin.create_super_admin)
local.app.command("demo")(demo.demo)


@app.callback()
def settings_from(
    env_file: Annotated[
        Path | None, typer.Option("--env-file", help="File with the settings; .env by default.", exists=True)
    ] = None,
) -> None:
    """Say where the settings come from."""
    if env_file is not None:
        os.environ["PILOTAGE_ENV_FILE"] = str(env_file.resolve())
    given = dotenv_values(os.environ.get("PILOTAGE_ENV_FILE", ".env"))
    learn_variables(given)
    # Prefect has settings of its own, and reads them from the environment alone.
    for name, value in given.items():
        if name.startswith("PREFECT_") and value is not None:
            os.environ.setdefault(name, value)
