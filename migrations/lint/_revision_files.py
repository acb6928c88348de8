"""What a revision's file says beside its statements: its waivers, and whether it has a way back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from migrations.history.revisions import Revision
from migrations.lint.errors import RevisionUnreadable
from migrations.lint.findings import Finding, Waiver
from migrations.lint.hazard import Subject
from migrations.lint.hazards.downgrade import MISSING
from migrations.lint.offline import shown

_NAME = "waivers"


@dataclass(frozen=True)
class RevisionFile:
    """What a file says.

    Attributes:
        waivers: the hazards that it takes knowingly.
        findings: what is wrong with its downgrade.
    """

    waivers: tuple[Waiver, ...]
    findings: tuple[Finding, ...]


def read_file(revision: Revision) -> RevisionFile:
    """Read a revision's file without running it.

    Raises:
        RevisionUnreadable: its waivers are no literal, so that nobody can tell what they are.
    """
    tree = ast.parse(revision.path.read_bytes())
    return RevisionFile(tuple(_waivers(tree, revision)), tuple(_downgrade(tree, revision)))


def _waivers(tree: ast.Module, revision: Revision) -> Iterator[Waiver]:
    file = shown(revision.path)
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        if not any(isinstance(one, ast.Name) and one.id == _NAME for one in targets):
            continue
        given = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if not isinstance(given, ast.Dict):
            raise RevisionUnreadable(revision.id, file, "its waivers are not a dictionary of ids and reasons")
        for key, value in zip(given.keys, given.values, strict=True):
            hazard, reason = _text(key), _text(value)
            if hazard is None or reason is None:
                raise RevisionUnreadable(revision.id, file, "its waivers are not a dictionary of ids and reasons")
            yield Waiver(hazard, reason, revision.id, file, value.lineno)


def _text(node: ast.expr | None) -> str | None:
    try:
        value = ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _downgrade(tree: ast.Module, revision: Revision) -> Iterator[Finding]:
    functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    upgrade, downgrade = functions.get("upgrade"), functions.get("downgrade")
    if upgrade is None or not _does(upgrade):
        return
    fault = _fault(downgrade)
    if fault:
        line = downgrade.lineno if downgrade is not None else upgrade.lineno
        text = MISSING.message(Subject(name=revision.id, detail=fault))
        yield Finding(MISSING.id, revision.id, shown(revision.path), line, "", text)


def _fault(downgrade: ast.FunctionDef | None) -> str:
    if downgrade is None:
        return "It has no downgrade"
    if any(isinstance(one, ast.Raise) for one in _body(downgrade)):
        return "Its downgrade raises"
    return "" if _does(downgrade) else "Its downgrade does nothing"


def _body(function: ast.FunctionDef) -> list[ast.stmt]:
    """The statements of a function, without its documentation and imports."""
    return [
        one
        for one in function.body
        if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        and not isinstance(one, ast.Import | ast.ImportFrom)
    ]


def _does(function: ast.FunctionDef) -> bool:
    idle = (ast.Pass, ast.Raise)
    return any(
        not isinstance(one, idle) and not (isinstance(one, ast.Return) and _is_nothing(one)) for one in _body(function)
    )


def _is_nothing(one: ast.Return) -> bool:
    return one.value is None or isinstance(one.value, ast.Constant)
