"""Validation where the released repository is away: what is wrong in the database is found all the same."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.errors import RepositoryUnreachable
from deployments.local.supervisor.running import RunningPlatform
from tasks.steps import validation
from tests.integration.tasks.test_recorded_catalogue import V1, Target


@pytest.fixture(scope="module")
def target(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path_factory.mktemp("cache")))
        made = Target()
        first = made.begin("v1")
        made.migrate("production", first.id, "v1", V1)
        made.end(first.id)
        yield made


def test_rows_that_are_wrong_are_told_though_the_catalogue_cannot_be(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = target.begin("v1")
    point = target.point("production", (V1,))
    lost = replace(point, seal=replace(point.seal, row_counts={**point.seal.row_counts, "users": 1000}))
    commit = target.commits["v1"]
    monkeypatch.setenv("RELEASE_REPOSITORY", str(tmp_path / "gone"))
    monkeypatch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path / "cache"))

    verdicts = {one.check: one for one in validation.validate_database.fn(release.id, commit, (V1,), lost)}
    assert verdicts["row counts"].passed is False
    assert (verdicts["catalogue"].passed, verdicts["catalogue"].measured) == (None, "cannot tell")
    assert "RELEASE_REPOSITORY" in verdicts["catalogue"].detail

    # Where nothing else is wrong, it is asked for again: the repository may come back.
    with pytest.raises(RepositoryUnreachable):
        validation.validate_database.fn(release.id, commit, (V1,), point)
    target.end(release.id)
