"""Squawk, the lint that the field uses, asked once about everything."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from migrations.lint.errors import SquawkUnavailable
from migrations.sql.statements import Statement

_TIMEOUT_S = 60.0


def ask(statements: Sequence[Statement], rules: Iterable[str]) -> Mapping[int, frozenset[str]]:
    """The rules of squawk that statements break.

    Args:
        statements: what to judge; those inside of blocks stand for themselves.
        rules: the rules that count.

    Returns:
        Names of rules by the statement's place in the sequence.

    Raises:
        SquawkUnavailable: it is not installed, or did not answer.
    """
    wanted = frozenset(rules)
    if not statements or not wanted:
        return {}
    lines: list[str] = []
    places: list[int] = []
    for number, one in enumerate(statements):
        if not one.dynamic:
            text = [*one.sql.replace("\r", " ").split("\n"), ";"]
            lines += text
            places += [number] * len(text)
    found: dict[int, set[str]] = {}
    for violation in _asked("\n".join(lines), wanted):
        rule, line = str(violation["rule_name"]), int(violation["line"])
        # What is about a whole statement is said to begin behind the semicolon before it.
        line += int(lines[line] == ";" and int(violation["column"]) > 0)
        if rule in wanted and line < len(places):
            found.setdefault(places[line], set()).add(rule)
    return {number: frozenset(names) for number, names in found.items()}


def binary() -> Path:
    """Where squawk lies: beside this program, wherever PATH points.

    Raises:
        SquawkUnavailable: it is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "squawk"
    if beside.is_file():
        return beside
    try:
        files = metadata.files("squawk-cli") or []
    except metadata.PackageNotFoundError as error:
        raise SquawkUnavailable("it is not installed") from error
    for one in files:
        if one.name in {"squawk", "squawk.exe"}:
            return Path(str(one.locate())).resolve()
    raise SquawkUnavailable("its package holds no program")


def _asked(text: str, rules: Iterable[str]) -> list[Mapping[str, Any]]:
    command = [str(binary()), "--reporter", "json", "--stdin-filepath", "history.sql", "--pg-version", "18.0"]
    # Some are off unless they are asked for.
    command += [f"--include={rule}" for rule in sorted(rules)]
    try:
        # An empty configuration, so that one that lies about cannot silence a rule.
        done = subprocess.run(
            [*command, "--config", "/dev/null"],
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return cast("list[Mapping[str, Any]]", json.loads(done.stdout or "[]"))
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        raise SquawkUnavailable(f"{type(error).__name__}: {error}") from error
