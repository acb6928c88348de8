"""`pilotage release keep`, over real branches and a real ledger."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from typer.testing import CliRunner

from deployments.local.supervisor.running import RunningPlatform
from flows.cli import app
from migrations.catalog.contents import Catalog
from tasks import connections
from tasks.steps import validation
from tests.integration.tasks.test_recorded_catalogue import STANDS, V1, V2, Target


@pytest.fixture(scope="module")
def target(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "200")
        made = Target()
        first = made.begin("v1")
        made.migrate("production", first.id, "v1", V1)
        made.end(first.id)
        yield made


def keep(release_id: str, *options: str, answer: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(app, ["release", "keep", release_id, *options], input=answer)
    return result.exit_code, " ".join(result.output.split())


def test_what_a_held_release_left_is_kept_with_what_was_made_by_hand_once_somebody_says_so(target: Target) -> None:
    release = target.begin("v2")
    target.migrate("production", release.id, "v2", V2)
    target.execute("production", 'ALTER TABLE users ADD COLUMN "byHand" text')
    target.end(release.id)
    before = target.drift("production")
    assert before == ['catalogue column users."byHand"']

    code, said = keep(release.id, answer="n\n")
    assert code == 1
    assert 'by hand: column users."byHand" added' in said
    assert target.drift("production") == before

    code, said = keep(release.id, "--yes", "--reason", "the column is wanted")
    assert code == 0, said
    assert "the column is wanted" in said
    assert target.drift("production") == []
    with connections.ledger(target.settings) as ledger:
        kept = ledger.recorded_catalog(target.settings.target, "production")
        noted = [step for step in ledger.steps(release.id) if step.step == "kept"]
    assert kept is not None
    assert (kept.release_id, kept.revision) == (release.id, V2)
    assert ("column", 'users."byHand"') in Catalog.from_json(kept.catalog_json).by_name
    assert len(noted) == 1
    assert noted[0].details["by_hand"] == ['column users."byHand" added']

    code, said = keep(release.id, "--yes")
    assert code == 1
    assert "was kept already" in said


def test_what_was_kept_is_what_a_way_back_and_the_next_release_expect(target: Target) -> None:
    def catalogue(revision: str) -> tuple[bool | None, str]:
        verdicts = validation.validate_database.fn(release.id, target.commits["v3"], (revision,), point)
        return next((one.passed, one.detail) for one in verdicts if one.check == "catalogue")

    release = target.begin("v2")
    target.migrate("production", release.id, "v2", V2)
    target.execute("production", "CREATE TABLE kept (id integer PRIMARY KEY)")
    target.end(release.id)
    assert keep(release.id, "--yes")[0] == 0
    release = target.begin("v3")
    point = target.point("production", (V2,))
    assert catalogue(V2) == (True, "")
    target.migrate("production", release.id, "v3", STANDS)
    assert catalogue(STANDS) == (True, "")
    assert catalogue(V2)[0] is False
    target.execute("production", "ALTER TABLE kept ADD COLUMN by_hand text")
    assert catalogue(STANDS) == (False, "column kept.by_hand added (text)")
    target.end(release.id)
    assert keep(release.id, "--yes")[0] == 0
    # The way back of a release that was kept is a run of its own.
    release = target.begin("v3")
    assert catalogue(STANDS) == (True, "")
    target.execute("production", "DROP TABLE kept")
    assert catalogue(STANDS)[0] is False
    target.end(release.id)


def test_what_leaves_nothing_to_decide_is_refused_with_a_sentence(target: Target) -> None:
    assert keep("nobody", "--yes") == (1, "error: the ledger has no release nobody: `pilotage ledger` lists them")
    running = target.begin("v2")
    code, said = keep(running.id, "--yes")
    assert code == 1
    assert f"release {running.id}" in said
    assert "Wait until it has ended" in said
    target.end(running.id)
    code, said = keep(running.id, "--yes")
    assert code == 1
    assert "changed nothing in production" in said
