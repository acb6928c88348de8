"""`pilotage db`: a development database that outlives its command, and is found again."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deployments.local.errors import PortTakenError
from deployments.local.postgres import development
from deployments.local.postgres.cluster import free_port
from flows.cli.console.locations import REPOSITORY_ROOT
from migrations.history.revisions import History


def pilotage(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which has ended when this returns."""
    code = "from flows.cli import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY_ROOT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", "PILOTAGE_ENV_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "development"
    development.down(tmp_path / "development", remove=True)


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_one_command_makes_a_migrated_database_that_outlives_it(folder: Path) -> None:
    first = pilotage("db", "up", "--state", folder, "--json")
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    assert made["revisions"] == list(History.load().heads)
    assert made["pending"] == []
    assert ask(made["database_url"], "SELECT count(*) FROM users") == 0
    assert ask(made["app_database_url"], "SELECT count(*) FROM users") == 0
    written = development.environment_file(folder)
    assert f"DATABASE_URL='{made['database_url']}'\n" in written.read_text()
    assert written.stat().st_mode & 0o077 == 0

    again = pilotage("db", "up", "--state", folder)
    assert again.returncode == 0, again.stderr
    assert f"process {made['pid']}" in again.stdout
    assert "applied" not in again.stdout
    assert made["database_url"] in again.stdout
    assert "which has no DATABASE_URL yet" in again.stdout


def test_rows_and_port_survive_a_stop(folder: Path) -> None:
    first = development.up(folder)
    with psycopg.connect(first.owner_dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert development.down(folder) is True
    assert development.down(folder) is False
    stopped = development.status(folder)
    assert stopped is not None
    assert (stopped.pid, stopped.port) == (None, first.port)
    assert development.up(folder).owner_dsn == first.owner_dsn
    assert ask(first.owner_dsn, "SELECT number FROM kept") == 7


def test_removing_it_leaves_nothing_but_the_lock(folder: Path) -> None:
    first = development.up(folder)
    assert development.down(folder, remove=True) is True
    assert [path.name for path in folder.iterdir()] == ["lock"]
    assert not development.environment_file(folder).exists()
    assert not first.log.exists()
    assert development.status(folder) is None


def test_a_port_that_is_taken_is_named_and_another_may_be_asked_for(folder: Path) -> None:
    first = development.up(folder)
    with pytest.raises(PortTakenError, match="db down"):
        development.up(folder, port=free_port())
    development.down(folder)
    with socket.create_server(("127.0.0.1", first.port)):
        with pytest.raises(PortTakenError, match=f"port {first.port} .*--port"):
            development.up(folder)
        moved = development.up(folder, port=free_port())
    assert moved.port != first.port
    assert str(moved.port) in development.environment_file(folder).read_text()


def test_what_a_killed_command_left_half_made_is_made_anew(folder: Path) -> None:
    first = development.up(folder)
    (folder / "database.json").unlink()
    second = development.up(folder)
    assert second.pid not in {None, first.pid}
    assert ask(second.owner_dsn, "SELECT current_user") == "developer"


def test_a_number_that_belongs_to_another_process_by_now_is_left_alone(folder: Path) -> None:
    first = development.up(folder)
    development.down(folder)
    (first.log.parent / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n/\n")
    assert development.down(folder) is False
    assert development.up(folder).pid not in {None, os.getpid()}


def test_status_fails_where_none_was_made(folder: Path) -> None:
    told = pilotage("db", "status", "--state", folder)
    assert told.returncode == 1
    assert told.stderr.startswith("error: no development database was made in ")


def test_it_keeps_the_version_that_it_was_made_by(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = Path("/usr/lib/postgresql/15/bin")
    if not older.is_dir():
        pytest.skip("PostgreSQL 15 is not installed")
    monkeypatch.setenv("PG_BIN", str(older))
    first = development.up(folder)
    development.down(folder)
    monkeypatch.delenv("PG_BIN")
    development.up(folder)
    assert str(ask(first.owner_dsn, "SHOW server_version")).startswith("15.")
