"""`pilotage doctor` and its cheap half in `pilotage release start`, on the platform of the session."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app


@pytest.fixture
def env(faults: RunningPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    given = {**faults.env, "LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}", "COLUMNS": "300"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    # Where other tests of the session have a Prefect server, these have none.
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield given


def run(*arguments: str) -> tuple[int, str, str]:
    ran = CliRunner().invoke(app, [*arguments])
    return ran.exit_code, ran.stdout, ran.stderr


def test_each_line_has_its_mark_and_what_to_do_below_it(env: dict[str, str]) -> None:
    code, told, _ = run("doctor")
    lines = told.splitlines()
    assert code == 1
    assert any(line.startswith("✔ production's branch: main") for line in lines)
    at = lines.index("? Slack: whether the webhook is let in tells its first message alone")
    assert lines[at + 1] == "    the first release tells"
    assert "✘ Prefect server" in told
    assert lines[-1].endswith(" good, 1 bad, 2 cannot tell")


def test_json_has_every_line(env: dict[str, str]) -> None:
    code, told, _ = run("doctor", "--json")
    found = json.loads(told)["findings"]
    assert code == 1
    assert {one["state"] for one in found} == {"good", "bad", "cannot tell"}
    assert {"line": "production's address", "state": "cannot tell"}.items() <= next(
        one for one in found if one["line"] == "production's address"
    ).items()


def test_settings_that_are_not_complete_are_bad_one_by_one(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))
    monkeypatch.delenv("VERCEL_TEAM_ID")
    monkeypatch.setenv("NEON_API_KEY", "<your key>")
    code, told, _ = run("doctor")
    assert code == 1
    assert "✘ settings: VERCEL_TEAM_ID is missing" in told
    assert "✘ settings: NEON_API_KEY still holds a placeholder" in told
    assert told.splitlines()[-1] == "0 good, 2 bad, 0 cannot tell"


def test_record_keeps_shapes_and_no_value(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "shapes.json"
    run("doctor", "--record", str(file))
    text = file.read_text()
    calls = json.loads(text)["calls"]
    assert {(one["service"], one["path"]) for one in calls} >= {
        ("Neon", "/api/v2/projects/*/branches"),
        ("Neon", "/api/v2/auth"),
        ("Vercel", "/v9/projects/*"),
        ("Vercel", "/v1/edge-config/*/items"),
    }
    assert {one["method"] for one in calls} == {"GET"}
    values = [value for name, value in env.items() if len(value) > 4 and name not in {"NEON_OWNER_ROLE", "COLUMNS"}]
    assert [value for value in values if value in text] == []
    assert "127.0.0.1" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_record_that_cannot_be_written_is_told(env: dict[str, str], tmp_path: Path) -> None:
    code, _, told = run("doctor", "--record", str(tmp_path / "no" / "shapes.json"))
    assert code == 1
    assert "cannot be written" in told


def test_release_that_could_not_run_is_not_started(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEON_STAGING_BRANCH", "stage")
    code, _, told = run("release", "start", "v2")
    assert code == 1
    assert "a release could not run: staging's branch: there is no branch stage; there are: main, staging" in told
    assert "Nothing was started; `pilotage doctor` looks at everything" in told


@pytest.mark.parametrize("given", [["--no-doctor"], []], ids=["asked not to look", "nothing bad"])
def test_release_goes_on_to_prefect_where_nothing_is_bad_or_nobody_is_to_look(
    given: list[str], env: dict[str, str], faults: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given:
        monkeypatch.setenv("NEON_STAGING_BRANCH", "stage")
    code, _, told = run("release", "start", "v2", *given)
    assert code == 1
    assert "set PREFECT_API_URL" in told
    assert bool(faults.requests("neon")) is not bool(given)


def test_machine_that_has_no_settings_leaves_the_look_to_the_release(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(tmp_path / "empty.env"))
    monkeypatch.delenv("NEON_API_KEY")
    code, _, told = run("release", "start", "v2")
    assert code == 1
    assert "set PREFECT_API_URL" in told
