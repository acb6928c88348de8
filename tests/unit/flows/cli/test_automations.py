"""The file of what a Prefect server starts by itself: what stands in it is checked before a server is asked."""

from pathlib import Path

import pytest
import yaml

from flows.cli.console.automations import read_automations
from flows.cli.console.command_errors import CommandFailed
from flows.cli.console.locations import REPOSITORY_ROOT

GOOD = {"name": "a", "description": "b", "flows": ["release"], "states": ["Crashed"], "starts": "recover/recover"}
DEPLOYMENTS = yaml.safe_load((REPOSITORY_ROOT / "prefect.yaml").read_text())["deployments"]


def refusal(folder: Path, text: str) -> str:
    file = folder / "automations.yaml"
    file.write_text(text)
    with pytest.raises(CommandFailed) as caught:
        read_automations(file)
    assert str(file) in str(caught.value)
    assert "mend it, or take it from the commit" in str(caught.value)
    return str(caught.value)


def test_what_is_installed_looks_at_flows_that_are_deployed_and_starts_one_of_them() -> None:
    names = {one["name"] for one in DEPLOYMENTS}
    found = read_automations()
    assert [one.name for one in found] == ["pilotage recovery", "pilotage recovery after silence"]
    for one in found:
        assert {*one.flows} <= names
        assert one.starts == "recover/recover"


def test_silence_is_longer_than_two_signs_of_life_lie_apart_by_default() -> None:
    from prefect.settings.models.flows import FlowsSettings

    apart = FlowsSettings.model_fields["heartbeat_frequency"].default
    (silent,) = (one.silent_for_s for one in read_automations() if one.silent_for_s)
    assert silent > 2 * apart


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"states": []}, "give either `states` or `silent_for_s`"),
        ({"silent_for_s": 400}, "give either `states` or `silent_for_s`"),
        (
            {"states": ["Gone"]},
            "automations.0.states.0: Input should be 'Completed'",
        ),
        ({"starts": "recover"}, "automations.0.starts"),
        ({"flows": []}, "automations.0.flows"),
        ({"start": "recover/recover"}, "automations.0.start: Extra inputs are not permitted"),
    ],
)
def test_what_is_not_understood_is_told_with_its_place(changed: dict[str, object], said: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, yaml.safe_dump({"automations": [{**GOOD, **changed}]}))


def test_a_file_that_is_none_or_names_one_twice_is_refused(tmp_path: Path) -> None:
    assert "two automations have the same name" in refusal(tmp_path, yaml.safe_dump({"automations": [GOOD, GOOD]}))
    assert "cannot be read" in refusal(tmp_path, "a: : b")
    assert "is not understood" in refusal(tmp_path, "")
    with pytest.raises(CommandFailed, match="cannot be read"):
        read_automations(tmp_path / "nowhere.yaml")
