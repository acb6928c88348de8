"""`pilotage apply` shows a backfill, and `pilotage backfill` has a say in it."""

import json
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app

REVISION = """from alembic import op

revision = "{id}"
down_revision = {down!r}
phase = "expand"


def upgrade() -> None:
    {up}


def downgrade() -> None:
    pass
"""
MADE, FILLED = "20250101_0900", "20250102_0900"
TABLE = 'op.execute("CREATE TABLE things (id integer PRIMARY KEY, a text, b int)")'


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cli.backfill.console", Console(highlight=False, width=200))
    monkeypatch.setattr("migrations.history.revisions.VERSIONS", tmp_path)
    steps = ((MADE, None, TABLE), (FILLED, MADE, 'op.backfill("things", {"b": "a::int"}, where="b IS NULL")'))
    for id_, down, up in steps:
        (tmp_path / f"{id_}_add_things.py").write_text(REVISION.format(id=id_, down=down, up=up))


def pilotage(database: ProvisionedDatabase, *arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, [*arguments, "--database-url", database.owner_dsn])
    return ran.exit_code, " ".join((ran.stdout + ran.stderr).split())


def by_hand(database: ProvisionedDatabase, statement: str) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(statement.encode())


def test_its_progress_is_told_and_its_state_kept(database: ProvisionedDatabase) -> None:
    assert pilotage(database, "backfill", "status") == (0, "no backfill has run on this database")
    assert pilotage(database, "apply", "--target", MADE)[0] == 0
    by_hand(database, "INSERT INTO things SELECT g, g FROM generate_series(1, 250) g")
    by_hand(database, "UPDATE things SET a = 'x' WHERE id = 240")
    code, said = pilotage(database, "apply")
    assert code == 1
    assert "invalid input syntax for type integer" in said
    assert '"x"' not in said
    assert "applying again goes on there" in said
    code, said = pilotage(database, "backfill", "status")
    assert (code, f"{FILLED} (upgrade)" in said, "not finished" in said) == (0, True, True)
    assert pilotage(database, "backfill", "pause") == (0, f"paused {FILLED}")
    code, said = pilotage(database, "backfill", "status", "--json")
    (kept,) = json.loads(said)
    assert (kept["revision"], kept["paused"], kept["relation"]) == (FILLED, True, "public.things")
    assert pilotage(database, "backfill", "resume", FILLED) == (0, f"resumed {FILLED}")
    assert pilotage(database, "backfill", "restart", FILLED) == (0, f"{FILLED} begins anew with the next apply")
    by_hand(database, "UPDATE things SET a = '1' WHERE id = 240")
    code, said = pilotage(database, "apply")
    assert code == 0, said
    assert f"backfill of public.things in {FILLED}: 250 of 250 rows (100%)" in said
    assert "done, with its revision" in pilotage(database, "backfill", "status")[1]
    code, said = pilotage(database, "backfill", "pause")
    assert code == 1
    assert "keeps no unfinished backfill at all" in said
