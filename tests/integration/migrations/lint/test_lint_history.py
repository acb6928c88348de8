"""Our own history under its own lint, without and with a database in hand."""

import json
from pathlib import Path

import psycopg
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History


def lint(*arguments: str) -> tuple[int, dict[str, object], str]:
    result = CliRunner().invoke(app, ["lint", "--json", *arguments])
    return result.exit_code, json.loads(result.stdout or "{}"), result.stderr


def open_findings(document: dict[str, object]) -> list[object]:
    found = document["findings"]
    assert isinstance(found, list)
    return [one for one in found if one["waived_by"] is None]  # pyright: ignore[reportUnknownVariableType]


def test_our_history_is_clean_or_waived_with_a_reason_without_a_database() -> None:
    code, document, said = lint()
    assert open_findings(document) == [], said
    assert code == 0
    assert document["cannot_tell"] == {}


def test_our_history_is_clean_on_an_empty_database_too(database: ProvisionedDatabase) -> None:
    code, document, said = lint("--database-url", database.owner_dsn)
    assert (open_findings(document), code) == ([], 0), said


def test_only_what_the_database_lacks_is_judged(database: ProvisionedDatabase) -> None:
    history = History.load()
    current = history.revisions[1].id
    upgrade(database.owner_dsn, history, target=current, release_id="test")
    code, document, said = lint("--database-url", database.owner_dsn, "--target", history.revisions[2].id)
    assert code == 0, said
    assert document["judged"] == [history.revisions[2].id]


def test_a_database_with_large_tables_is_judged_by_them(database: ProvisionedDatabase, tmp_path: Path) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        owner.execute("CREATE TABLE orders AS SELECT g AS id FROM generate_series(1, 20000) g")
        owner.execute("ANALYZE orders")
    file = tmp_path / "change.sql"
    file.write_text("SET lock_timeout = '2s';\nCREATE INDEX ON orders (id);\n")
    assert lint("--sql", str(file), "--database-url", database.owner_dsn)[0] == 1
    assert lint("--sql", str(file), "--database-url", database.owner_dsn, "--large-rows", "50000")[0] == 0
