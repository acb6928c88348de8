"""What CI and the hooks before a commit run: targets that exist, on the versions that are promised."""

import re
from pathlib import Path
from typing import Any

import yaml
from typer.core import TyperGroup
from typer.main import get_command

from flows.cli import app

HOUSE = Path(__file__).resolve().parents[2]
WORKFLOW = HOUSE / ".github" / "workflows" / "database.yml"
HOOKS = HOUSE / ".pre-commit-config.yaml"


def read(path: Path) -> dict[Any, Any]:
    loaded: object = yaml.safe_load(path.read_text())
    assert isinstance(loaded, dict)
    return loaded  # pyright: ignore[reportUnknownVariableType]


def job() -> dict[str, Any]:
    jobs: dict[str, dict[str, Any]] = read(WORKFLOW)["jobs"]
    (only,) = jobs.values()
    return only


def made(commands: list[str]) -> list[str]:
    """The targets of commands, each of which calls make and nothing else."""
    assert [command for command in commands if not re.fullmatch(r"make( [a-z]+)+", command.strip())] == []
    return [target for command in commands for target in command.split()[1:]]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE))


def test_ci_runs_targets_that_exist_in_order_on_both_versions_of_postgresql() -> None:
    run = made([step["run"] for step in job()["steps"] if "run" in step])
    assert run == ["lint", "typecheck", "imports", "check", "apply", "test"]
    assert set(run) <= targets()
    assert job()["strategy"]["matrix"] == {"postgres": ["15", "18"]}
    assert job()["services"]["postgres"]["image"] == "postgres:${{ matrix.postgres }}"


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    used = re.findall(r"uses:\s*(.+)", WORKFLOW.read_text(encoding="utf-8"))
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", one)] == []


def test_the_hooks_run_targets_that_exist_and_download_nothing() -> None:
    (repository,) = read(HOOKS)["repos"]
    hooks: list[dict[str, Any]] = repository["hooks"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in hooks} == {"system"}
    run = made([hook["entry"] for hook in hooks])
    assert run == ["lint", "typecheck", "imports", "check"]
    assert set(run) <= targets()


def test_no_password_and_no_address_of_a_registry_is_written_down() -> None:
    text = WORKFLOW.read_text() + HOOKS.read_text()
    assert "http" not in text
    assert re.findall(r"(?i)password: (?!\$\{\{ secrets\.).*", text) == []
    assert [url for url in re.findall(r"postgresql://\S+?:(.+)@", text) if not url.startswith("${{ secrets.")] == []


def test_a_developers_day_names_commands_and_targets_that_exist() -> None:
    text = (HOUSE / "docs" / "development.md").read_text()
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    named = set(re.findall(r"pilotage (?!COMMAND)([a-z]+(?:-[a-z]+)*)", text))
    assert len(named) > 8
    assert named - set(command.commands) == set()
    made_here = {target for line in re.findall(r"\bmake ((?:[a-z]+ ?)+)(?=`|  )", text) for target in line.split()}
    assert made_here
    assert made_here <= targets()


def test_what_a_package_asks_for_with_extras_is_held_to_the_lock_too() -> None:
    installed = next(line for line in (HOUSE / "Makefile").read_text().splitlines() if "--require-hashes" in line)
    assert "--requirement requirements.lock --constraint requirements.lock" in installed
