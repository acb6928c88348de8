"""The scenarios of the demo: each has what it releases, and a newcomer finds it."""

from pathlib import Path

from flows.cli.console.scenario import REFS
from flows.cli.demo import Scenario

HOUSE = Path(__file__).parents[4]


def test_every_scenario_releases_something_and_is_shown_to_newcomers() -> None:
    assert {one.value for one in Scenario} == set(REFS)
    listed = (HOUSE / "README.md").read_text()
    offered = (HOUSE / "Makefile").read_text()
    for one in Scenario:
        if one is not Scenario.RELEASE:
            assert f"make demo SCENARIO={one.value} " in listed
            assert one.value in offered
