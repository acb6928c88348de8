"""Which of the generated faults run: a seeded sample or all of them, in parts, and without those that held already."""

import os
import random
import time
from collections.abc import Sequence

import pytest

from tests.faults.report import has_passed, outcomes, table

SAMPLE = "1:2"
_STARTED = "FAULTS_STARTED"


def pytest_configure(config: pytest.Config) -> None:
    """Settle what is asked for; the workers of a session inherit it."""
    config.addinivalue_line("markers", "generated_fault: one of many; a sample runs, or all of them with FAULTS=all")
    os.environ.setdefault("FAULTS", SAMPLE)
    if not hasattr(config, "workerinput"):
        os.environ[_STARTED] = str(time.time())


def pytest_report_header() -> str:
    """Tell which of the generated faults run, so that the same can be run again."""
    part = f", PART={os.environ['PART']}" if os.environ.get("PART") else ""
    return f"generated faults: FAULTS={os.environ['FAULTS']}{part} (seed:how many, or all)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the generated faults that are not asked for, and those that need not run again."""
    generated = [item for item in items if item.get_closest_marker("generated_fault")]
    chosen = set(part_of(sample([item.nodeid for item in generated])))
    if os.environ.get("RESUME"):
        started = float(os.environ[_STARTED])
        chosen = {nodeid for nodeid in chosen if not has_passed(nodeid, before=started)}
    left_out = {item for item in generated if item.nodeid not in chosen}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what became of the faults that ran, and how many of this commit hold by now."""
    now, every = list(outcomes(since=float(os.environ[_STARTED]))), list(outcomes(since=0))
    if now:
        terminalreporter.section("generated faults")
        terminalreporter.write_line("\n".join(table(now)))
        terminalreporter.write_line(f"{len(now)} held now, {len(every)} on this commit")


def sample(nodeids: Sequence[str]) -> list[str]:
    """Those that FAULTS asks for, in an order of their own."""
    asked, order = os.environ["FAULTS"], sorted(nodeids)
    if asked == "all":
        return order
    seed, _, count = asked.partition(":")
    if not (seed.isdigit() and count.isdigit()):
        raise pytest.UsageError(f"FAULTS is {asked}: give seed:how many, such as 7:20, or all")
    return random.Random(int(seed)).sample(order, min(int(count), len(order)))  # noqa: S311


def part_of(nodeids: Sequence[str]) -> Sequence[str]:
    """The part of them that PART asks for, each of them as mixed as the whole."""
    asked = os.environ.get("PART") or "1/1"
    number, _, parts = asked.partition("/")
    if not (number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts)):
        raise pytest.UsageError(f"PART is {asked}: give number/parts, such as 1/4")
    return nodeids[int(number) - 1 :: int(parts)]
