"""The acts of a release: what each may send, and what is documented of it."""

import re
from pathlib import Path

import pytest

from tasks.acts import RULES, Act, ActRule

GUARANTEES = Path(__file__).parents[3] / "docs" / "guarantees.md"


def test_each_request_that_an_act_may_send_late_is_listed_with_what_it_would_do() -> None:
    rows = [line for line in GUARANTEES.read_text().splitlines() if re.match(r"\| `[A-Z]+ /", line)]
    listed = {request for row in rows for request in re.findall(r"`([A-Z]+ /[^`]+)`", row.split("|")[1])}
    assert listed == {request for rule in RULES.values() for request in rule.sends}
    assert all(len(cell.strip()) > 5 for row in rows for cell in row.split("|")[2:4])


@pytest.mark.parametrize("act", Act)
def test_act_that_only_reads_sends_nothing(act: Act) -> None:
    assert not (RULES[act].only_reads and RULES[act].sends)


def test_star_stands_for_one_part_of_a_path() -> None:
    rule = ActRule("", "", ("POST /projects/*/branches",))
    assert rule.allows("POST /projects/p-1/branches")
    for other in (
        "POST /projects/p-1/branches/b-1/restore",
        "POST /projects/a/b/branches",
        "DELETE /projects/p-1/branches",
        "POST /projects//branches",
    ):
        assert not rule.allows(other)
