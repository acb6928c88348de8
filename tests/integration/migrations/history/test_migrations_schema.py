"""The core schema: what the revisions build, through the `alembic` command, and what the models say."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script
from sqlalchemy import create_engine

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.session import connect, reader
from migrations.history.revisions import History
from migrations.models import Base
from migrations.recording.throwaway import throwaway_database

ROOT = Path(__file__).parents[4]


def catalog(dsn: str) -> Catalog:
    with reader(dsn) as connection:
        return read_catalog(connection).without("grant")


def test_core_revision_builds_what_the_strategy_says(database: ProvisionedDatabase) -> None:
    upgrade(database.owner_dsn, History.load(), target="20250122_1030", release_id="r")
    with psycopg.connect(database.owner_dsn) as connection:
        constraints = Counter(
            kind
            for (kind,) in connection.execute(
                "SELECT contype::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
                " AND conrelid <> 'alembic_version'::regclass AND contype <> 'n'"
            )
        )
    live = catalog(database.owner_dsn)
    assert len(live.of_kind("table")) == 15
    assert len(live.of_kind("enum")) == 4
    assert len(live.of_kind("index")) == 33
    assert constraints == {"p": 14, "f": 17, "c": 1}


def test_models_build_the_same_catalogue_as_the_revisions(database: ProvisionedDatabase) -> None:
    upgrade(database.owner_dsn, History.load(), release_id="r")
    with throwaway_database(database.owner_dsn) as empty:
        engine = create_engine("postgresql+psycopg://", creator=lambda: connect(empty))
        Base.metadata.create_all(engine)
        engine.dispose()
        modelled = catalog(empty)
    assert [str(one) for one in difference(catalog(database.owner_dsn), modelled)] == []


def test_the_alembic_command_finds_nothing_to_do_at_head(database: ProvisionedDatabase) -> None:
    for arguments, expected in ((("upgrade", "head"), ""), (("check",), "No new upgrade operations detected")):
        ran = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database.owner_dsn},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert expected in ran.stdout


def test_a_new_revision_is_named_after_the_minute_it_is_made_in(
    database: ProvisionedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner_dsn)
    config = Config(toml_file=ROOT / "pyproject.toml")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(tmp_path))
    config.config_args["here"] = str(ROOT)
    made = command.revision(config, "add user bio field", version_path=str(tmp_path))
    assert isinstance(made, Script)
    assert re.fullmatch(r"\d{8}_\d{4}", made.revision)
    assert Path(made.path).name == f"{made.revision}_add_user_bio_field.py"
    (written,) = History.load(tmp_path).revisions
    assert (written.message, written.phase) == ("add user bio field", "expand")


def test_a_row_needs_only_what_the_application_gives(database: ProvisionedDatabase) -> None:
    upgrade(database.owner_dsn, History.load(), release_id="r")
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute("""INSERT INTO users (email, "updatedAt") VALUES ('a@example.org', now())""")
        row = connection.execute('SELECT timezone, language, role::text, "isActive" FROM users').fetchone()
    assert row == ("America/Mexico_City", "es", "USER", True)
