"""`pilotage new`: files in the folder of the revisions, and the development database brought to them."""

import json
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import Column, Index, Integer, MetaData, Table
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.history.revisions import History


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of revisions in the place of our own."""
    monkeypatch.setattr("migrations.history.revisions.VERSIONS", tmp_path)
    return tmp_path


def modelled(monkeypatch: pytest.MonkeyPatch, *columns: str) -> None:
    metadata = MetaData()
    Table("pets", metadata, *(Column(name, Integer) for name in ("id", *columns)))
    monkeypatch.setattr("flows.cli.new.Base", SimpleNamespace(metadata=metadata))


def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = MetaData()
    Table("pets", metadata, Column("id", Integer), Column("age", Integer), Index("pets_age_idx", "age"))
    monkeypatch.setattr("flows.cli.new.Base", SimpleNamespace(metadata=metadata))


def run(*arguments: str) -> dict[str, object]:
    ran = CliRunner().invoke(app, ["new", *arguments, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def files(versions: Path) -> list[str]:
    return [path.name.partition("_")[2].partition("_")[2] for path in sorted(versions.glob("*.py"))]


def test_new_writes_revisions_and_applies_them_to_the_development_database(
    database: ProvisionedDatabase, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner_dsn.replace("postgresql:", "postgresql+psycopg:"))
    modelled(monkeypatch)
    assert run("Pets at last")["applied"] is True
    assert run("Pets at last") == {"revisions": [], "notes": [], "applied": False}
    modelled(monkeypatch, "age")
    assert run("add the age of pets", "--no-apply")["applied"] is False
    indexed(monkeypatch)
    assert run("find pets by age", "--action", "optimize")["applied"] is True
    assert files(versions) == ["create_pets_at_last.py", "add_the_age_of_pets.py", "optimize_find_pets_by_age.py"]
    with psycopg.connect(database.owner_dsn) as connection:
        found = connection.execute("SELECT version_num, to_regclass('pets_age_idx')::text FROM alembic_version")
        assert found.fetchone() == (History.load(versions).heads[0], "pets_age_idx")


def test_new_starts_a_server_of_its_own_where_none_is_named(versions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(versions / "none"))
    modelled(monkeypatch)
    assert run("init pets")["applied"] is False
    assert files(versions) == ["init_pets.py"]


def test_an_empty_revision_is_written_and_not_applied(
    database: ProvisionedDatabase, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner_dsn)
    said = run("migrate old rows", "--empty")
    assert said["applied"] is False
    (one,) = History.load(versions).revisions
    assert (one.path.name, one.phase) == (f"{one.id}_migrate_old_rows.py", "expand")


def test_new_refuses_a_history_with_two_heads(
    database: ProvisionedDatabase, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner_dsn)
    for name in ("20250101_0900", "20250101_0901"):
        (versions / f"{name}_add_x.py").write_text(f"revision = '{name}'\ndown_revision = None\nphase = 'expand'\n")
    ran = CliRunner().invoke(app, ["new", "add more"])
    assert ran.exit_code == 1
    assert "merge them first" in ran.stderr
