"""The core schema: what the revisions build, up and down, through the `alembic` command."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg

from deployments.local.provision import ProvisionedDatabase
from migrations.catalog import Catalog, difference, read_catalog
from migrations.session import reader

ROOT = Path(__file__).parents[2]
HEAD = "20251101_0900"
CORE = "20250122_1030"


def alembic(database: ProvisionedDatabase, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database.owner_dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def catalog(database: ProvisionedDatabase) -> Catalog:
    with reader(database.owner_dsn) as connection:
        return read_catalog(connection)


def test_core_revision_builds_what_the_strategy_says(database: ProvisionedDatabase) -> None:
    alembic(database, "upgrade", CORE)
    with psycopg.connect(database.owner_dsn) as connection:
        constraints = Counter(
            kind
            for (kind,) in connection.execute(
                "SELECT contype::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
                " AND conrelid <> 'alembic_version'::regclass AND contype <> 'n'"
            )
        )
    live = catalog(database)
    assert len(live.of_kind("table")) == 15
    assert len(live.of_kind("enum")) == 4
    assert len(live.of_kind("index")) == 33
    assert constraints == {"p": 14, "f": 17, "c": 1}


def test_models_and_revisions_agree_and_each_downgrade_truly_returns(database: ProvisionedDatabase) -> None:
    empty = catalog(database)
    alembic(database, "upgrade", CORE)
    core = catalog(database)
    alembic(database, "upgrade", "head")
    head = catalog(database)
    assert [str(one.name) for one in difference(core, head)] == ['audit_logs."targetType"']
    assert "No new upgrade operations detected" in alembic(database, "check")
    alembic(database, "downgrade", CORE)
    assert difference(core, catalog(database)) == ()
    alembic(database, "downgrade", "base")
    assert difference(empty, catalog(database)) == ()


def test_a_row_needs_only_what_the_application_gives(database: ProvisionedDatabase) -> None:
    alembic(database, "upgrade", "head")
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute("""INSERT INTO users (email, "updatedAt") VALUES ('a@example.org', now())""")
        row = connection.execute('SELECT timezone, language, role::text, "isActive" FROM users').fetchone()
    assert row == ("America/Mexico_City", "es", "USER", True)
