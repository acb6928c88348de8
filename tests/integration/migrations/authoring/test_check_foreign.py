"""`pilotage check` on a project that is not ours: its env.py, its names and its models are left as they are."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app

ENV = """
import os
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine

metadata = MetaData()
Table("things", metadata, Column("id", Integer), Column("a", Integer), Column("b", Integer))
print("the project says hello")
engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, version_table="their_version")
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
REVISION = """from alembic import op
revision = {id!r}
down_revision = {down!r}
def upgrade():
    op.execute({up!r})
def downgrade():
    op.execute({back!r})
"""


def write(folder: Path, id_: str, down: object, up: str, back: str) -> None:
    (folder / "theirs" / "versions" / f"{id_}_.py").write_text(REVISION.format(id=id_, down=down, up=up, back=back))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "theirs" / "versions").mkdir(parents=True)
    (tmp_path / "theirs" / "env.py").write_text(ENV)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = theirs\nsqlalchemy.url = driver://\n")
    write(tmp_path, "aaaa", None, "CREATE TABLE things (id integer)", "DROP TABLE things")
    write(tmp_path, "bbbb", "aaaa", "ALTER TABLE things ADD a integer", "ALTER TABLE things DROP a")
    write(tmp_path, "cccc", "aaaa", "ALTER TABLE things ADD b integer", "ALTER TABLE things DROP b")
    write(tmp_path, "dddd", ("bbbb", "cccc"), "SELECT 1", "SELECT 1")
    return tmp_path


def check(project: Path, database: ProvisionedDatabase) -> dict[str, list[str]]:
    """What each check found; those that could not be told are left out."""
    url = ["--database-url", database.owner_dsn]
    ran = CliRunner().invoke(app, ["check", "--config", str(project / "alembic.ini"), "--json", *url])
    document = json.loads(ran.stdout[ran.stdout.index('{\n  "ok"') :])
    assert ran.exit_code == (0 if document["ok"] else 1), ran.output
    return {
        one["check"]: [f"{found['subject']}: {found['detail']}" for found in one["findings"]]
        for one in document["checks"]
        if one["told"]
    }


def test_a_project_with_branches_and_a_merge_passes(project: Path, database: ProvisionedDatabase) -> None:
    assert check(project, database) == {"parents": [], "one head": [], "models": [], "up, down, up": []}


def test_what_is_wrong_in_a_project_is_named(project: Path, database: ProvisionedDatabase) -> None:
    write(project, "cccc", "aaaa", "ALTER TABLE things ADD b bigint", "SELECT 1")
    write(project, "eeee", "bbbb", "SELECT 1", "SELECT 1")
    found = check(project, database)
    assert found["one head"][0].endswith("the history diverged: it has 2 heads")
    assert found["models"][0].startswith("alembic check: ")
    assert found["up, down, up"][0] == "cccc: its downgrade does not return: column things.b is left over (bigint)"


def test_a_missing_parent_in_a_project_is_named(project: Path, database: ProvisionedDatabase) -> None:
    (project / "theirs" / "versions" / "cccc_.py").unlink()
    assert check(project, database) == {
        "parents": ["dddd_.py: revision dddd stands on cccc, and no file has that revision"]
    }
