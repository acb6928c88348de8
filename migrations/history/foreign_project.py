"""Another Alembic project on PostgreSQL: where its env.py is, and which version table that uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from migrations.database.errors import ThroughPooler
from migrations.database.locks import one_migration
from migrations.database.session import reader
from migrations.errors import DatabaseUnreachable, HistoryUnreadable, WorksElsewhere, describe_database
from migrations.history.env_runners import ForeignEnvironment, ForeignRunner, run_env
from migrations.history.project_failures import failure_of
from migrations.history.revisions import History

# No two databases have both the oid and the server's start time in common, whatever their addresses are.
_IDENTITY = """
SELECT oid::bigint, extract(epoch FROM pg_postmaster_start_time())::text
FROM pg_database WHERE datname = current_database()
"""


def foreign_environment(
    config: Path | None, script_location: Path | None, *, url_variable: str = "DATABASE_URL"
) -> ForeignEnvironment | None:
    """The env.py of another project by its configuration or folder; None where neither is given, which means ours.

    Args:
        config: its alembic.ini, or its pyproject.toml.
        script_location: the folder with its env.py; it takes precedence over the configuration.
        url_variable: environment variable that its env.py may read the database's address from.

    Raises:
        HistoryUnreadable: there is no such file or folder.
    """
    if config is None and script_location is None:
        return None
    absent = [one for one in (config, script_location) if one is not None and not one.exists()]
    if absent:
        raise HistoryUnreadable(absent, "there is none")
    location = None if script_location is None else script_location.resolve()
    folder = config.resolve().parent if config is not None else Path.cwd()
    return ForeignEnvironment(config and config.resolve(), location, folder, url_variable)


def with_version_table(dsn: str, history: History) -> History:
    """The history with the name of the version table that its env.py uses; our own is known.

    Args:
        dsn: connection string of a database; env.py connects to it, and nothing is run.
        history: the revisions.

    Raises:
        HistoryUnreadable: its env.py raises.
        WorksElsewhere: its env.py connects to another database.
        ThroughPooler: its env.py connects through a pooler.
        DatabaseUnreachable: its env.py cannot connect.
    """
    if history.environment is None:
        return history
    found: list[tuple[str, ...]] = []
    reached: list[tuple[object, ...]] = []

    def look(at: object, context: Any) -> tuple[()]:
        del at
        reached.append(tuple(context.connection.exec_driver_sql(_IDENTITY).one()))
        found.append(tuple(filter(None, (context.version_table_schema, context.version_table))))
        return ()

    runner = ForeignRunner(dsn, history.environment, 0)
    config = history.alembic_config()
    try:
        with one_migration(), runner.environment_prepared(config):
            script = ScriptDirectory.from_config(config)
            # Without `dont_mutate` Alembic would make the version table.
            with EnvironmentContext(config, script, fn=look, dont_mutate=True):
                run_env(script)
    except (ThroughPooler, DatabaseUnreachable):
        raise
    except Exception as error:  # A foreign env.py may raise anything.
        raise HistoryUnreadable(history.folders, f"its env.py: {failure_of(error)}") from None
    if not found:
        raise HistoryUnreadable(history.folders, "its env.py runs no migrations")
    with reader(dsn) as connection:
        named = connection.execute(_IDENTITY).fetchone()
        # As the catalogue writes names: quoted where they need it.
        table = [connection.execute("SELECT quote_ident(%s)", (part,)).fetchall()[0][0] for part in found[0]]
    if any(one != named for one in reached):
        raise WorksElsewhere(describe_database(dsn))
    return replace(history, version_table=".".join(table))
