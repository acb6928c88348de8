"""`pilotage release keep`, over real branches and a real ledger."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from typer.testing import CliRunner

from deployments.local.running import RunningPlatform
from flows.cli import app
from migrations.catalog import Catalog
from tasks import connections
from tests.integration.test_recorded_catalogue import V1, V2, Target


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
    with connections.ledger(target.given) as ledger:
        kept = ledger.recorded_catalog(target.given.target, "production")
        noted = [step for step in ledger.steps(release.id) if step.step == "kept"]
    assert kept is not None
    assert (kept.release_id, kept.revision) == (release.id, V2)
    assert ("column", 'users."byHand"') in Catalog.from_json(kept.catalog_json).by_name
    assert len(noted) == 1
    assert noted[0].details["by_hand"] == ['column users."byHand" added']

    code, said = keep(release.id, "--yes")
    assert code == 1
    assert "was kept already" in said


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
