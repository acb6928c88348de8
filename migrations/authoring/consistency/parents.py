"""Whether every revision finds the ones that it stands on; read from the files, since Alembic stops at the first."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrations.authoring.consistency.finding import CheckResult, Finding

CHECK = "parents"
_REFERENCES = ("down_revision", "depends_on")


@dataclass(frozen=True)
class _File:
    path: Path
    revision: str
    labels: tuple[str, ...]
    references: tuple[str, ...]


def check_parents(folders: Sequence[Path]) -> CheckResult:
    """Whether a revision names one that no file has, and whether two files have one name.

    Args:
        folders: where the files of the revisions lie.
    """
    files = [found for folder in folders for path in sorted(folder.glob("*.py")) if (found := _read(path))]
    known = {name for file in files for name in (file.revision, *file.labels)}
    findings = [
        Finding(
            file.path.name,
            f"revision {file.revision} stands on {parent}, and no file has that revision",
            f"bring the file of {parent} back (git log --diff-filter=D -- '*{parent}*'), or mend down_revision",
        )
        for file in files
        for parent in file.references
        if not any(name == parent or name.startswith(parent) for name in known)
    ]
    return CheckResult.of(CHECK, [*findings, *_twice(files)], f"{len(files)} files")


def _twice(files: Iterable[_File]) -> Iterable[Finding]:
    first: dict[str, Path] = {}
    for file in files:
        if file.revision in first:
            yield Finding(
                file.path.name,
                f"revision {file.revision} is in {first[file.revision].name} too",
                "give one of them another revision id",
            )
        first.setdefault(file.revision, file.path)


def _read(path: Path) -> _File | None:
    """What a file says of itself; None where it is no revision."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None
    said: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            said |= {target.id: _texts(node.value) for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            said[node.target.id] = _texts(node.value)
    if not said.get("revision"):
        return None
    references = tuple(one.removesuffix("@head") for name in _REFERENCES for one in said.get(name, ()))
    return _File(path, said["revision"][0], said.get("branch_labels", ()), references)


def _texts(value: ast.expr) -> tuple[str, ...]:
    """The texts of a literal: one, or those of a tuple, list or set."""
    parts = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
    return tuple(one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str))
