"""`pilotage env check`: what is missing, malformed, or open to others."""

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain
from typer.testing import CliRunner

from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings, variable
from flows.cli.console.locations import REPOSITORY_ROOT
from flows.cli.environment import app

KEYS = f"k1:{base64.b64encode(bytes(32)).decode()}"
DEVELOPMENT = "postgresql://developer:hunter2@127.0.0.1:5433/development"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with the example and the ignored files of ours, and nothing set but what a test sets."""
    for name in [*os.environ]:
        if name.startswith(("NEON_", "VERCEL_", "PILOTAGE_", "DATABASE_URL", "ENCRYPTION_KEYS")):
            monkeypatch.delenv(name)
    porcelain.init(str(tmp_path)).close()
    for name in (".env.example", ".gitignore"):
        shutil.copy(REPOSITORY_ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(clone: Path, **values: str) -> None:
    file = clone / ".env"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))


def checked(*arguments: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """The exit code, what was found by subject, and the whole document."""
    result = CliRunner().invoke(app, ["check", *arguments, "--json"])
    document = json.loads(result.stdout)
    assert document["ok"] is (result.exit_code == 0)
    assert "hunter2" not in result.output
    return result.exit_code, {one["subject"]: one["detail"] for one in document["findings"]}, document


def test_a_developer_needs_one_variable_and_is_told_what_the_rest_is_for(clone: Path) -> None:
    write(clone, DATABASE_URL=DEVELOPMENT)
    code, found, document = checked()
    assert (code, found) == (0, {})
    ready = {one["commands"].split(",")[0]: one["ready"] for one in document["commands"]}
    assert ready["new"] is True
    assert ready["branch"] is False
    assert ready["release"] is False


def test_every_variable_that_an_environment_lacks_is_named_once(clone: Path) -> None:
    write(clone, NEON_API_KEY="<your-neon-api-key>", NEON_API_URL="https://console.neon.tech/api/v2")
    code, found, _ = checked("--environment", "production")
    assert code == 1
    wanted = {variable(name) for name, field in Settings.model_fields.items() if field.is_required()}
    assert set(found) == wanted - {"NEON_API_URL"} | {"ENCRYPTION_KEYS"}
    assert found["NEON_API_KEY"] == "still holds a placeholder"
    assert found["VERCEL_TOKEN"] == "is missing"
    said = CliRunner().invoke(app, ["check", "--environment", "production"]).stdout
    assert said.count("VERCEL_TOKEN is missing") == 1


def test_complete_settings_of_production_pass(clone: Path, platform: RunningPlatform) -> None:
    write(clone, **{**platform.env, "ENCRYPTION_KEYS": KEYS})
    code, found, document = checked("--environment", "production")
    assert (code, found) == (0, {})
    assert {one["commands"].split(",")[0] for one in document["commands"] if one["ready"]} >= {"branch", "release"}


def test_settings_that_git_keeps_are_found_wherever_they_lie(clone: Path) -> None:
    write(clone, DATABASE_URL=DEVELOPMENT)
    (clone / "web").mkdir()
    ignoring = (clone / ".gitignore").read_text()
    (clone / ".gitignore").unlink()
    for name in (".env", "web/.env.production", ".env.example", "web/.envoy"):
        (clone / name).touch(mode=0o600)
        porcelain.add(str(clone), paths=[str(clone / name)])
    (clone / ".gitignore").write_text(ignoring)
    code, found, document = checked()
    assert (code, found) == (1, {".env": "is committed", "web/.env.production": "is committed"})
    assert "git rm --cached .env" in document["findings"][0]["advice"]
    (clone / ".gitignore").write_text("build/\n")
    assert checked()[1][".gitignore"] == "does not leave out .env"


def test_settings_that_others_can_read_are_found(clone: Path) -> None:
    write(clone, DATABASE_URL=DEVELOPMENT)
    (clone / ".env").chmod(0o644)
    code, found, document = checked()
    assert (code, found) == (1, {".env": "can be read by others on this machine"})
    assert document["findings"][0]["advice"] == "chmod 600 .env"


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("ENCRYPTION_KEYS", "k1:hunter2", "cannot be read"),
        ("ENCRYPTION_KEYS", f"{KEYS},{KEYS}", "given twice"),
        ("DATABASE_URL", "mysql://u:hunter2@h/db", "no address of a PostgreSQL database"),
        ("DATABASE_URL", "postgresql://u:hunter2@ep-cool-pooler.example/db", "leads through a pooler"),
        ("DATABASE_URL", f"{DEVELOPMENT}?pgbouncer=true&connection_limit=10", "connection_limit, pgbouncer"),
    ],
)
def test_what_is_given_and_cannot_be_used_is_found(clone: Path, name: str, value: str, detail: str) -> None:
    write(clone, **{"DATABASE_URL": DEVELOPMENT, name: value})
    code, found, _ = checked()
    assert code == 1
    assert detail in found[name]


def test_an_example_that_lacks_a_variable_or_holds_a_secret_is_found(clone: Path) -> None:
    write(clone, DATABASE_URL=DEVELOPMENT)
    example = clone / ".env.example"
    text = example.read_text()
    example.write_text(text.replace("NEON_DATABASE=", "NEON_DB=").replace("<your-neon-api-key>", "napi_hunter2"))
    document = checked()[2]
    told = {one["detail"] for one in document["findings"]}
    assert told == {"lacks NEON_DATABASE", "holds a value of NEON_API_KEY"}
    example.write_text(text.replace("# ENCRYPTION_KEYS=\n", ""))
    assert checked()[1] == {".env.example": "lacks ENCRYPTION_KEYS"}
    example.unlink()
    assert checked()[1] == {".env.example": "is not there"}


def test_outside_a_repository_it_says_what_it_could_not_tell(clone: Path) -> None:
    write(clone, DATABASE_URL=DEVELOPMENT)
    shutil.rmtree(clone / ".git")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0
    assert "could not be told" in result.stdout
