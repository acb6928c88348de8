"""What apply leans on inside Alembic: where one of these fails after an upgrade, its message says what to look at."""

import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from packaging.requirements import Requirement
from sqlalchemy.dialects import postgresql


def context() -> MigrationContext:
    return MigrationContext.configure(dialect=postgresql.dialect(), opts={"as_sql": True})


def test_a_context_tells_whether_env_py_has_begun_the_transaction() -> None:
    told = "migrating.py asks `_in_external_transaction` whether env.py commits all revisions at once: find another way"
    assert getattr(context(), "_in_external_transaction", None) is False, told


def test_what_is_called_when_a_version_is_applied_can_be_added_to_a_context() -> None:
    told = "backfill.py adds to `on_version_apply_callbacks`, or its backfills are never closed: find another way"
    assert isinstance(getattr(context(), "on_version_apply_callbacks", None), tuple), told


def test_the_steps_of_a_history_are_told_up_and_down() -> None:
    told = "migrating.py and rehearsals take their steps from `_upgrade_revs` and `_downgrade_revs`: find another way"
    for name in ("_upgrade_revs", "_downgrade_revs"):
        found = getattr(ScriptDirectory, name, None)
        assert found is not None, told
        assert len(inspect.signature(found).parameters) == 3, told


def test_an_environment_can_be_told_how_it_is_configured() -> None:
    told = "env_runners.py replaces `configure` of one EnvironmentContext: env.py would not call what stands there"
    environment = EnvironmentContext(Config(), ScriptDirectory("."))
    called: list[str] = []

    def configured(*args: object, **given: object) -> None:
        del args, given
        called.append("configured")

    environment.configure = configured
    from alembic import context as module

    with environment:
        module.configure()
    assert called == ["configured"], told


@pytest.mark.parametrize("name", ["alembic", "sqlalchemy"])
def test_no_version_is_installed_that_nobody_has_looked_at(name: str) -> None:
    """The tests above run where this project is developed; whoever installs it has the bound alone."""
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    [asked] = [one for one in map(Requirement, project["dependencies"]) if one.name == name]
    assert "<" in {one.operator for one in asked.specifier}, f"{name} has no upper bound in pyproject.toml"
    major, minor, *_ = version(name).split(".")
    assert f"{major}.{minor}.999" in asked.specifier
    assert f"{major}.{int(minor) + 1}.0" not in asked.specifier
