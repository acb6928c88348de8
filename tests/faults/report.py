"""What became of each generated fault: kept as a file, told as a table, and not run again on the same commit."""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = ".pytest_cache/faults"
FAULT = "generated fault"


@dataclass(frozen=True)
class FaultOutcome:
    """How a fault ended.

    Attributes:
        flow: what ran.
        act: the act in which the fault came.
        moment: the moment of the act.
        fault: what came.
        ending: how the release ended, as the ledger has it.
        seconds: from the fault until production was healthy and the release was closed.
    """

    flow: str
    act: str
    moment: str
    fault: str
    ending: str
    seconds: float


class Told:
    """Takes what is to be told of a fault."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def __call__(self, flow: str, act: str, moment: str, fault: str, *, ending: str, since: float) -> None:
        """Tell how a fault ended, now that production is healthy and the release is closed.

        Args:
            flow: what ran.
            act: the act in which the fault came.
            moment: the moment of the act.
            fault: what came.
            ending: how the release ended.
            since: when the fault came, as time.time() has it.
        """
        outcome = FaultOutcome(flow, act, moment, fault, ending, round(time.time() - since, 1))
        # Plain text and numbers alone come over from the process of a worker: an act is more than its name.
        self._node.user_properties.append((FAULT, json.loads(json.dumps(asdict(outcome)))))


@cache
def folder() -> Path:
    """Where the outcomes of this commit, with what is changed in it, are kept."""
    place = Path(os.environ.get("FAULTS_REPORT", FOLDER))

    def git(*asked: str) -> bytes:
        return subprocess.run(["git", *asked], capture_output=True, check=True).stdout

    try:
        changed = git("diff", "HEAD")
        commit = git("rev-parse", "--short=12", "HEAD").decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return place / "unknown-commit"
    return place / (f"{commit}-{hashlib.sha256(changed).hexdigest()[:8]}" if changed else commit)


def _file(nodeid: str) -> Path:
    return folder() / f"{hashlib.sha256(nodeid.encode()).hexdigest()[:16]}.json"


def has_passed(nodeid: str, *, before: float) -> bool:
    """Whether a fault held on this commit in an earlier run."""
    try:
        return _file(nodeid).stat().st_mtime < before
    except FileNotFoundError:
        return False


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the outcome of a fault that held; forget that it did where it did not."""
    told: Any = dict(report.user_properties).get(FAULT)
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return
    if report.failed:
        _file(report.nodeid).unlink(missing_ok=True)
    elif report.when == "call" and told is not None:
        folder().mkdir(parents=True, exist_ok=True)
        _file(report.nodeid).write_text(json.dumps(told))


def outcomes(*, since: float) -> Iterable[FaultOutcome]:
    """The outcomes that were kept since a time."""
    for file in sorted(folder().glob("*.json"), key=lambda one: one.stat().st_mtime):
        if file.stat().st_mtime >= since:
            yield FaultOutcome(**json.loads(file.read_text()))


def table(found: Iterable[FaultOutcome]) -> list[str]:
    """The outcomes, a line each, under a line that says what is what."""
    rows = [("flow", "act", "moment", "fault", "ending", "healthy after")]
    rows += [(one.flow, one.act, one.moment, one.fault, one.ending, f"{one.seconds:.1f} s") for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
