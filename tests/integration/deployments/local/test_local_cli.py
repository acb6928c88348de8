"""`pilotage local`: what a person sees, and how it fails."""

import re
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from deployments.local.supervisor.running import RunningPlatform
from flows.cli.local import app


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.mark.parametrize("command", ["status", "traffic"])
def test_a_platform_that_is_down_is_one_clear_line_and_exit_1(command: str, tmp_path: Path) -> None:
    result = _run(command, "--state", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: no platform runs in {tmp_path}; start one with `pilotage local up --detach --state {tmp_path}`\n"
    )
    assert result.stdout == ""


def test_down_says_when_nothing_ran(tmp_path: Path) -> None:
    result = _run("down", "--state", tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"no platform ran in {tmp_path}\n")


def test_status_shows_where_everything_is(platform: RunningPlatform) -> None:
    result = _run("status", "--state", platform.status.state)
    assert result.exit_code == 0
    for shown in (f"process {platform.status.pid}", platform.env["PRODUCTION_URL"], platform.env["NEON_API_URL"]):
        assert shown in result.stdout
    assert platform.env["NEON_API_KEY"] not in result.stdout


def test_up_again_shows_the_one_that_is_up(platform: RunningPlatform) -> None:
    result = _run("up", "--detach", "--state", platform.status.state)
    assert result.exit_code == 0
    assert "is up already" in result.stdout
    assert platform.env["PRODUCTION_URL"] in result.stdout


def test_up_in_the_foreground_where_one_runs_is_refused(platform: RunningPlatform) -> None:
    result = _run("up", "--state", platform.status.state)
    assert result.exit_code == 1
    assert re.fullmatch(r"error: a platform runs already in \S+ \(process \d+\); .*\n", result.stderr)


def test_traffic_on_a_production_without_release_is_refused(platform: RunningPlatform, tmp_path: Path) -> None:
    with httpx.Client() as client:
        assert not client.get(f"{platform.env['PRODUCTION_URL']}/api/agents").is_success
    result = _run("traffic", "--seconds", "1", "--url", platform.env["PRODUCTION_URL"], "--state", tmp_path)
    assert result.exit_code == 1
    assert "is a release live there?" in result.stderr
