"""What the import contracts cannot say about the house."""

import ast
import importlib
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import yaml

HOUSE = Path(__file__).resolve().parents[2]
ROOMS = ("flows", "tasks", "migrations", "deployments")
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager"}
DEPLOYMENTS = yaml.safe_load((HOUSE / "prefect.yaml").read_text())["deployments"]


def modules(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((HOUSE / room).rglob("*.py")) if "__pycache__" not in path.parts]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


REVISIONS = [
    path
    for path in modules("migrations", "deployments")
    if path.parent.name == "versions" and not path.name.startswith("__")
]


@pytest.mark.parametrize("path", REVISIONS, ids=lambda path: path.name)
def test_a_revision_imports_alembic_and_sqlalchemy_only(path: Path) -> None:
    allowed = {"alembic", "sqlalchemy", "__future__", *sys.stdlib_module_names}
    assert imported(path) <= allowed


def test_there_are_revisions_to_look_at() -> None:
    assert len(REVISIONS) >= 2


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in modules(*ROOMS) if path.stem in EMPTY_NAMES] == []


def test_no_flow_hides_a_top_level_folder_or_a_module_of_the_standard_library() -> None:
    taken = {*ROOMS, "tests", *sys.stdlib_module_names}
    assert [path.name for path in (HOUSE / "flows").glob("*.py") if path.stem in taken] == []


def test_flows_speak_neither_sql_nor_http() -> None:
    flows = list((HOUSE / "flows").glob("*.py"))
    assert {
        path.name: imported(path) & {"psycopg", "sqlalchemy", "httpx", "alembic"}
        for path in flows
        if imported(path) & {"psycopg", "sqlalchemy", "httpx", "alembic"}
    } == {}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_every_entrypoint_of_prefect_yaml_is_a_flow(deployment: dict[str, str]) -> None:
    path, _, name = deployment["entrypoint"].partition(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert getattr(module, name).name == deployment["name"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_every_flow_has_a_runbook(deployment: dict[str, str]) -> None:
    assert (HOUSE / "docs" / "runbooks" / f"{deployment['name']}.md").is_file()


def test_every_setting_is_documented() -> None:
    settings = importlib.import_module("deployments.settings").Settings
    documented = (HOUSE / "docs" / "settings.md").read_text()
    names = [variable(name, field) for name, field in settings.model_fields.items()]
    assert [name for name in names if f"`{name}`" not in documented] == []


def test_every_variable_of_a_command_is_documented() -> None:
    names = get_args(importlib.import_module("flows.cli.console.variables").Variable)
    documented = (HOUSE / "docs" / "settings.md").read_text()
    assert names
    assert [name for name in names if f"`{name}`" not in documented] == []


def variable(name: str, field: object) -> str:
    alias = getattr(field, "validation_alias", None)
    return str(alias if isinstance(alias, str) else name).upper()


def test_the_lock_pins_every_dependency_with_hashes_and_no_address() -> None:
    lock = (HOUSE / "requirements.lock").read_text()
    pinned = {
        line.split("==")[0].split("[")[0] for line in lock.splitlines() if "==" in line and not line.startswith(" ")
    }
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {requirement.split("[")[0].split("=")[0].split("<")[0].split(">")[0] for requirement in wanted}
    assert names <= pinned
    assert "--hash=sha256:" in lock
    assert [address for address in ("http://", "https://", "file:") if address in lock] == []
