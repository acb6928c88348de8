"""`pilotage plan` and `pilotage rehearse`, as a developer runs them."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.local.postgres.provisioning import ProvisionedDatabase
from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app
from migrations.apply.migrate import upgrade
from migrations.history.revisions import History
from migrations.rehearsal.evidence import Evidence

CORE, TARGET_TYPE = "20250122_1030", "20251101_0900"


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


@pytest.fixture
def at_core(database: ProvisionedDatabase) -> str:
    upgrade(database.owner_dsn, History.load(), target=CORE, release_id="r")
    return database.owner_dsn


def project(folder: Path, *ups: str) -> str:
    """A project that is not ours: each text is the upgrade of one revision, r1, r2, …"""
    (folder / "db" / "versions").mkdir(parents=True)
    (folder / "db" / "env.py").write_text(
        "from alembic import context\nfrom sqlalchemy import create_engine\n"
        "engine = create_engine(context.config.get_main_option('sqlalchemy.url'))\n"
        "with engine.connect() as connection:\n    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\nengine.dispose()\n"
    )
    for number, up in enumerate(ups, 1):
        below = f'"r{number - 1}"' if number > 1 else None
        (folder / "db" / "versions" / f"r{number}.py").write_text(
            f'"""Step."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n\n'
            f'def upgrade():\n    op.execute("""{up}""")\n\n\ndef downgrade():\n    op.execute("SELECT 1")\n'
        )
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/db\n")
    return str(folder / "alembic.ini")


def test_a_plan_is_printed_and_written_with_its_way_back(at_core: str, tmp_path: Path) -> None:
    there, back = tmp_path / "there.sql", tmp_path / "back.sql"
    url = ("--database-url", at_core, "--target", TARGET_TYPE)
    code, told = run("plan", *url, "--sql", str(there), "--rollback-sql", str(back))
    assert (code, 'ADD COLUMN "targetType"' in told, "AccessExclusiveLock" in told) == (0, True, True)
    assert 'ADD COLUMN "targetType"' in there.read_text()
    assert 'DROP COLUMN "targetType"' in back.read_text()
    code, document = run("plan", *url, "--json")
    plan = json.loads(document)
    assert (code, plan["ok"], plan["source"], [one["revision"] for one in plan["revisions"]]) == (
        0,
        True,
        "recorded",
        [TARGET_TYPE],
    )


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(at_core: str, tmp_path: Path) -> None:
    code, told = run("plan", "--database-url", at_core, "--target", CORE, "--sql", str(tmp_path / "absent" / "x.sql"))
    assert (code, "x.sql cannot be written: No such file" in told) == (1, True), told


def test_a_plan_with_a_hazard_fails_and_names_it(database: ProvisionedDatabase, tmp_path: Path) -> None:
    rows = "INSERT INTO notes SELECT repeat('x', 500) FROM generate_series(1, 30000)"
    ini = project(tmp_path, f"CREATE TABLE notes (body text); {rows}", "CREATE INDEX notes_body_idx ON notes (body)")
    url = ("--database-url", database.owner_dsn, "--config", ini)
    assert run("apply", *url, "--target", "r1")[0] == 0
    code, told = run("plan", *url, "--json")
    assert (code, json.loads(told)["source"]) == (1, "recorded")
    assert "index-not-concurrent" in [one["hazard"] for one in json.loads(told)["hazards"]]


def test_a_rehearsal_on_a_copy_keeps_its_evidence_and_its_picture(at_core: str, tmp_path: Path) -> None:
    evidence, picture = tmp_path / "evidence.json", tmp_path / "locks.svg"
    files = ("--evidence", str(evidence), "--svg", str(picture))
    budget = ("--blocking-budget-ms", "60000")
    code, told = run("rehearse", "--on-copy", at_core, "--target", TARGET_TYPE, *budget, *files)
    assert code == 0, told
    kept = Evidence.from_json(evidence.read_text())
    assert [one.revision for one in kept.revisions] == [TARGET_TYPE]
    assert kept.way_back.lossless
    assert "audit_logs" in picture.read_text()
    code, told = run("rehearse", "--on-copy", at_core, "--target", TARGET_TYPE)
    assert (code, "nothing is pending" in told) == (1, True)


def test_a_rehearsal_that_blocks_for_too_long_fails(at_core: str) -> None:
    code, told = run("rehearse", "--on-copy", at_core, "--target", TARGET_TYPE, "--blocking-budget-ms", "1")
    assert (code, "Stops the release" in told) == (1, True), told


def test_a_rehearsal_on_a_branch_of_production_leaves_no_branch(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tasks import connections

    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    client = connections.neon(connections.settings(), in_release=False)
    before = {branch.name for branch in client.branches()}
    code, told = run("rehearse", "--target", CORE, "--blocking-budget-ms", "60000")
    assert code == 0, told
    assert {branch.name for branch in client.branches()} == before


def test_the_branch_of_a_rehearsal_that_is_killed_expires_by_itself(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tasks import connections

    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    client = connections.neon(connections.settings(), in_release=False)
    before = {branch.name for branch in client.branches()}
    source = f"from flows.cli import app; app(['rehearse', '--target', {CORE!r}])"
    rehearsing = subprocess.Popen([sys.executable, "-c", source], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (left := [branch for branch in client.branches() if branch.name not in before]):
        assert rehearsing.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rehearsing.kill()
    rehearsing.wait()
    (branch,) = left
    assert branch.expires_at is not None
    assert branch.expires_at < datetime.now(UTC) + timedelta(hours=2)
    client.delete_branch(branch.id)
