"""Alembic's environment: for the `alembic` command with DATABASE_URL, and for a connection that apply.py hands in.

A connection is handed in as `config.attributes["connection"]`, and what is to be called after each revision, inside its
transaction, as `config.attributes["on_version_apply"]`.
"""

import os
import re
from datetime import UTC, datetime
from typing import Any

from alembic import context
from alembic.operations import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, create_engine, make_url, pool

from migrations.backfill import operation
from migrations.database.tools_tables import KEEP_VERSION_TABLE
from migrations.history.applied_revisions import PRODUCT_SCHEMA
from migrations.models import Base

# Importing it gives revisions `op.backfill`.
__all__ = ["operation"]


def use_timestamp_id(migration: MigrationContext, revision: object, directives: list[MigrationScript]) -> None:
    """Give a new revision the minute in which it is created as its id."""
    del migration, revision
    for directive in directives:
        # Alembic's own names are twelve hexadecimal digits; one given with --rev-id stays.
        if re.fullmatch("[0-9a-f]{12}", directive.rev_id or ""):
            directive.rev_id = datetime.now(UTC).strftime("%Y%m%d_%H%M")


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Leave the product's own schema out of comparisons."""
    del parents
    return not (kind == "schema" and name == PRODUCT_SCHEMA)


def database_url() -> URL:
    """The database that the `alembic` command is pointed at."""
    given = os.environ.get("DATABASE_URL")
    if not given:
        raise SystemExit("DATABASE_URL is not set: give it the direct connection string of the database to work on")
    url = make_url(given)
    return url.set(drivername="postgresql+psycopg") if url.drivername in {"postgres", "postgresql"} else url


def protect_version_table(*, ctx: Any, step: Any, **_: Any) -> None:
    """Leave only the owner the right to write to the version table, which the first revision has just created."""
    if step.is_upgrade and not step.down_revision_ids:
        ctx.connection.exec_driver_sql(KEEP_VERSION_TABLE)


def run(connection: Connection, on_version_apply: Any = None) -> None:
    """Run the command's revisions, each in a transaction of its own."""
    callbacks: Any = [*filter(None, (on_version_apply,)), protect_version_table]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
        include_name=include_name,
        on_version_apply=callbacks,
        process_revision_directives=use_timestamp_id,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_offline() -> None:
    """Write the SQL instead of running it."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        literal_binds=True,
        # The usual style of parameters would write each percent sign twice.
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Run as Alembic was asked to."""
    handed_in = context.config.attributes.get("connection")
    if handed_in is not None:
        run(handed_in, context.config.attributes.get("on_version_apply"))
    elif context.is_offline_mode():
        run_offline()
    else:
        engine = create_engine(database_url(), poolclass=pool.NullPool)
        with engine.connect() as connection:
            run(connection)
        engine.dispose()


main()
