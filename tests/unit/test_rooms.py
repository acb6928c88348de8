"""The rooms of the house: how many modules a folder holds, what is a room's own, and what the map of the rooms says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
TOPS = ("flows", "tasks", "migrations", "deployments", "tests")
# Released programs and a history of revisions: no rooms of the house.
OUTSIDE = (
    "migrations/versions",
    "deployments/local/application",
    "deployments/local/releases",
    "deployments/ledger/versions",
)
# Flat lists: one file a hazard, one file a command.
FLAT = {"migrations/lint/hazards", "flows/cli"}
LARGEST = 20


def folders() -> Iterator[Path]:
    for top in TOPS:
        for folder in [HOUSE / top, *sorted((HOUSE / top).rglob("*/"))]:
            name = folder.relative_to(HOUSE).as_posix()
            if any(folder.glob("*.py")) and not name.startswith(OUTSIDE):
                yield folder


def named(path: Path) -> str:
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {named(path): path for folder in folders() for path in sorted(folder.glob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """The modules of the house that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in MODULES:
                    yield whole
                elif node.module in MODULES:
                    yield node.module


IMPORTS = {name: frozenset(imports(path)) for name, path in MODULES.items()}


def test_the_imports_of_the_house_are_read() -> None:
    assert "migrations.apply.migrate" in IMPORTS["tasks.revisions"]
    assert sum(len(one) for one in IMPORTS.values()) > 1000


def test_no_folder_holds_more_modules_than_one_can_look_over() -> None:
    held = {
        folder.relative_to(HOUSE).as_posix(): len([*folder.glob("[!_]*.py"), *folder.glob("_[!_]*.py")])
        for folder in folders()
    }
    assert {name: number for name, number in held.items() if number > LARGEST and name not in FLAT} == {}


def test_what_is_a_room_s_own_is_imported_in_that_room_alone() -> None:
    owned = {
        name: name.rpartition(".")[0]
        for name in MODULES
        if name.rpartition(".")[2].strip("_") != name.rpartition(".")[2] and not name.endswith("__main__")
    }
    assert owned
    from_outside = [
        f"{importer} imports {name}"
        for importer, names in IMPORTS.items()
        for name in names & owned.keys()
        if importer != owned[name] and not importer.startswith(f"{owned[name]}.")
    ]
    assert from_outside == []


def test_the_init_of_a_room_says_what_it_is_for_and_imports_nothing() -> None:
    # The models are one set of tables: whoever imports one of them needs all.
    rooms = [
        path
        for name, path in MODULES.items()
        if path.name == "__init__.py" and name.startswith("migrations") and name != "migrations.models"
    ]
    assert len(rooms) > 15
    for path in rooms:
        (sentence,) = ast.parse(path.read_text()).body
        assert isinstance(sentence, ast.Expr), path


def test_no_module_of_migrations_is_called_like_a_function_in_it() -> None:
    alike = [
        name
        for name, path in MODULES.items()
        if name.startswith("migrations.") and not path.name.startswith("_")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == path.stem
    ]
    assert alike == []


@pytest.mark.parametrize(
    ("lower", "upper"),
    [("tasks", "tasks.steps"), ("flows.cli.console", "flows.cli")],
    ids=["what the steps share knows no step", "what commands share knows no command"],
)
def test_what_is_shared_does_not_know_who_shares_it(lower: str, upper: str) -> None:
    above = {name for name in MODULES if name.rpartition(".")[0] == upper}
    below = {name: names & above for name, names in IMPORTS.items() if name.rpartition(".")[0] == lower}
    assert above
    assert below
    assert {name: names for name, names in below.items() if names} == {}


def rooms_of_the_map() -> dict[str, str]:
    rows = [
        line.strip("|").split("|")
        for line in (HOUSE / "docs" / "architecture.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    return {row[0].strip().strip("`").rstrip("/"): row[1].strip() for row in rows}


def test_the_map_of_the_rooms_has_each_room_with_the_sentence_of_its_init() -> None:
    said: dict[str, str] = {}
    for folder in folders():
        name = folder.relative_to(HOUSE).as_posix()
        if not name.startswith("tests"):
            doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
            said[name] = (doc or "").splitlines()[0].replace("|", "\\|")
    assert rooms_of_the_map() == said


def test_each_file_that_the_map_names_is_there() -> None:
    text = (HOUSE / "docs" / "architecture.md").read_text()
    paths = re.findall(r"`((?:flows|tasks|migrations|deployments|tests|docs)/[\w/.]*)`", text)
    assert len(paths) > 60
    assert [path for path in paths if not (HOUSE / path).exists()] == []
