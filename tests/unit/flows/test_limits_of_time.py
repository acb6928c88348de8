"""Limits of time: commands take what the settings of a release take, and neither takes one that limits nothing."""

from typing import cast

import annotated_types
import pytest
from typer.testing import CliRunner

from deployments.errors import SettingsError
from deployments.settings import Settings, load_settings, variable
from flows.cli import app
from tests.unit.deployments.test_settings import COMPLETE

# A setting of a release, and the option that says the same by hand.
SAID_BY = {
    "lock_timeout_ms": ("apply", "lock_timeout_ms"),
    "migration_budget_s": ("apply", "budget_s"),
    "end_idle_after_s": ("apply", "end_idle_after_s"),
    "statement_timeout_s": ("apply", "statement_timeout_s"),
    "blocking_budget_ms": ("rehearse", "blocking_budget_ms"),
}
TIMED = [name for name in Settings.model_fields if name.endswith(("_s", "_ms", "_hours"))]


def longest(name: str) -> float:
    """The most that a setting takes."""
    bounds = [one.le for one in Settings.model_fields[name].metadata if isinstance(one, annotated_types.Le)]
    return cast("float", bounds[0])


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("value", ["2147483647", "1e308", "inf", "nan"])
def test_a_setting_that_limits_nothing_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for key, given in {**COMPLETE, variable(name): value}.items():
        monkeypatch.setenv(key, given)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [one.partition(":")[0] for one in caught.value.problems] == [variable(name)]


@pytest.mark.parametrize(("name", "command", "option"), [(name, *said) for name, said in SAID_BY.items()])
def test_a_command_takes_what_a_release_takes_and_no_more(name: str, command: str, option: str) -> None:
    for value in (int(longest(name)) + 1, "2147483647", "inf", "nan"):
        ran = CliRunner().invoke(app, [command, f"--{option.replace('_', '-')}", str(value)], env={"COLUMNS": "200"})
        said = " ".join(ran.output.split())
        assert ran.exit_code == 2, said
        assert f"Invalid value for '--{option.replace('_', '-')}'" in said
        assert value == "inf" or f"less than or equal to {longest(name):.0f}" in said or "integer" in said
