"""`pilotage merge`: heads that diverged are made one where their order does not matter."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History

REVISION = '''"""Change things.

Revision ID: {id}
Revises: {down}
"""

from alembic import op

revision = "{id}"
down_revision = {down!r}
phase = "expand"


def upgrade() -> None:
    op.execute("{up}")


def downgrade() -> None:
    op.execute("{back}")
'''


def write(folder: Path, id_: str, down: str | None, up: str, back: str = "SELECT 1") -> None:
    (folder / f"{id_}_update_things.py").write_text(REVISION.format(id=id_, down=down, up=up, back=back))


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("migrations.history.revisions.VERSIONS", tmp_path)
    write(tmp_path, "20250101_0900", None, "CREATE TABLE things (id integer)", "DROP TABLE things")
    write(tmp_path, "20250102_0900", "20250101_0900", "ALTER TABLE things ADD a text", "ALTER TABLE things DROP a")
    return tmp_path


def test_heads_whose_order_does_not_matter_are_merged(database: ProvisionedDatabase, versions: Path) -> None:
    write(versions, "20250102_1000", "20250101_0900", "ALTER TABLE things ADD b text", "ALTER TABLE things DROP b")
    write(versions, "20250102_1100", "20250102_1000", "ALTER TABLE things ADD c text", "ALTER TABLE things DROP c")
    ran = CliRunner().invoke(app, ["merge", "--json", "--database-url", database.owner_dsn])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert {one["head"]: [change.split(" added")[0] for change in one["changes"]] for one in said["heads"]} == {
        "20250102_0900": ["column things.a"],
        "20250102_1100": ["column things.b", "column things.c"],
    }
    assert [one["order"] for one in said["orders"]] in (
        [["20250102_0900", "20250102_1100"], ["20250102_1100", "20250102_0900"]],
        [["20250102_1100", "20250102_0900"], ["20250102_0900", "20250102_1100"]],
    )
    history = History.load(versions)
    (head,) = history.heads
    assert str(history.revision(head).path) in said["files"]
    assert set(history.revision(head).down_revisions) == {"20250102_0900", "20250102_1100"}
    upgrade(database.owner_dsn, history, release_id="r")


def test_heads_that_give_something_else_in_another_order_are_named(
    database: ProvisionedDatabase, versions: Path
) -> None:
    up = "ALTER TABLE things ADD COLUMN IF NOT EXISTS a integer"
    write(versions, "20250102_1000", "20250101_0900", up)
    ran = CliRunner().invoke(app, ["merge", "--database-url", database.owner_dsn])
    assert ran.exit_code == 1
    # The order that fails says why; nothing is written.
    assert 'fails: revision 20250102_0900 failed (SQLSTATE 42701): column "a"' in ran.stdout
    assert "the order of the heads matters" in ran.stderr
    assert len(list(versions.glob("*.py"))) == 3


def test_the_differences_between_orders_are_named(database: ProvisionedDatabase, versions: Path) -> None:
    write(versions, "20250102_1000", "20250101_0900", "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT * FROM things")
    ran = CliRunner().invoke(app, ["merge", "--json", "--database-url", database.owner_dsn])
    assert ran.exit_code == 1
    (different,) = [one["differences"] for one in json.loads(ran.stdout)["orders"] if one["differences"]]
    assert [one.partition(" changed")[0] for one in different] == ["view v"]


def test_an_order_that_is_given_makes_one_line_of_the_history(database: ProvisionedDatabase, versions: Path) -> None:
    write(versions, "20250102_1000", "20250101_0900", "ALTER TABLE things ADD COLUMN IF NOT EXISTS a integer")
    asked = ["merge", "--database-url", database.owner_dsn, "--order"]
    refused = CliRunner().invoke(app, [*asked, "20250102_1000,20250102_0900"])
    assert refused.exit_code == 1
    assert "20250102_1000 then 20250102_0900 cannot be applied" in refused.stderr
    assert CliRunner().invoke(app, [*asked, "20250102_0900"]).exit_code == 1
    ran = CliRunner().invoke(app, [*asked, "20250102_0900,20250102_1000"])
    assert ran.exit_code == 0, ran.output
    history = History.load(versions)
    assert [one.id for one in history.revisions] == ["20250101_0900", "20250102_0900", "20250102_1000"]
    assert history.heads == ("20250102_1000",)
    assert "Revises: 20250102_0900" in (versions / "20250102_1000_update_things.py").read_text()


def test_one_head_is_nothing_to_merge(database: ProvisionedDatabase, versions: Path) -> None:
    ran = CliRunner().invoke(app, ["merge", "--database-url", database.owner_dsn])
    assert ran.exit_code == 1
    assert "one head, 20250102_0900" in ran.stderr
