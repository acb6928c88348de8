"""From when on users of a new build are counted: by the clock of the database that keeps their moments."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows import release

THE_DATABASE_S = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_users_are_counted_from_a_moment_of_production_s_database_before_the_promotion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acts: list[str] = []
    windows: list[Any] = []

    def act(name: str, answer: object = None) -> Any:
        def done(*given: object, **rest: object) -> object:
            del rest
            acts.append(name)
            windows.extend(one for one in given if isinstance(one, release.validation.WatchWindow))
            return answer

        return done

    for name, answer in {
        "migrate_production": ("r2",),
        "build_production": SimpleNamespace(id="dpl_1"),
        "check_build": None,
        "read_clock": THE_DATABASE_S,
        "promote": None,
    }.items():
        monkeypatch.setattr(release.production, name, act(name, answer))
    monkeypatch.setattr(release.validation, "validate_database", act("validate_database", ()))
    monkeypatch.setattr(release.validation, "watch_production", act("watch_production", ()))
    commit, plan = cast("Any", SimpleNamespace(sha="c" * 40)), cast("Any", SimpleNamespace(expanded="r2"))
    point = cast("Any", SimpleNamespace(serving_deployment_id="dpl_0", revisions=("r1",)))
    request = release.ReleaseRequest(ref="v2")
    window = release.deploy_to_production("rel", request, commit, plan, point, release.ReleaseProgress())
    assert acts.index("read_clock") < acts.index("promote") < acts.index("watch_production")
    assert window.since == THE_DATABASE_S
    assert windows == [window]
