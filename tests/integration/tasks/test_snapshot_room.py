"""Room for a release: old snapshots give way, and nothing else does."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.ledger import EndState, Ledger
from deployments.neon.client import Branch
from deployments.settings import Settings
from tasks.steps.snapshot import snapshot_name, snapshots_to_delete


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_construct(
        ledger_url=SecretStr(f"sqlite:///{tmp_path}/ledger.db"),
        target_name="t",
        neon_branch_limit=10,
        snapshots_kept=3,
    )


def release(settings: Settings, state: EndState | None) -> str:
    with Ledger.open(settings.ledger_url) as ledger:
        begun = ledger.begin_release(
            target="t", ref="v", commit_sha="0", target_revision="head", requested_by="", flow_run_id=None, lease_s=60
        )
        if state is not None:
            ledger.end_release(begun.id, state, "")
    return begun.id


def abandoned(settings: Settings, patch: pytest.MonkeyPatch, *acts: str) -> str:
    """A release whose process died after some acts."""

    def gone(_: str) -> str:
        return "gone"

    patch.setattr("deployments.ledger.held_releases.holder_state", gone)
    begun = release(settings, None)
    with Ledger.open(settings.ledger_url) as ledger:
        for act in acts:
            ledger.begin_step(begun, act)
        ledger.abandon(begun, reason="a test", by="ana")
    return begun


def promoted(settings: Settings) -> str:
    begun = release(settings, None)
    with Ledger.open(settings.ledger_url) as ledger:
        ledger.begin_step(begun, "promote")
        ledger.end_release(begun, "succeeded", "")
    return begun


def branches(*names: str) -> tuple[Branch, ...]:
    return tuple(Branch.model_construct(id=f"br-{name}", name=name) for name in ("main", "staging", *names))


def names(found: tuple[Branch, ...] | None) -> list[str] | None:
    return None if found is None else [branch.name for branch in found]


def test_nothing_is_deleted_while_there_is_room(settings: Settings) -> None:
    over = [snapshot_name(release(settings, "succeeded")) for _ in range(6)]
    assert snapshots_to_delete(settings, branches(*over)) == ()


def test_the_oldest_snapshots_of_finished_releases_give_way_and_the_newest_stay(settings: Settings) -> None:
    states: list[EndState] = ["succeeded", "failed", "rolled_back", "succeeded", "succeeded", "succeeded", "succeeded"]
    over = [snapshot_name(release(settings, state)) for state in states]
    assert names(snapshots_to_delete(settings, branches(*over))) == over[:1]
    assert names(snapshots_to_delete(settings, branches(*over, "dev-ana"))) == over[:2]
    assert names(snapshots_to_delete(settings, branches(*over, "a", "b", "c"))) == over[:4]
    assert snapshots_to_delete(settings, branches(*over, "a", "b", "c", "d")) is None


def test_the_snapshot_of_a_release_that_is_held_or_runs_never_gives_way(settings: Settings) -> None:
    held = [snapshot_name(release(settings, "undecided")) for _ in range(4)]
    over = [snapshot_name(release(settings, "succeeded")) for _ in range(4)]
    running = snapshot_name(release(settings, None))
    found = names(snapshots_to_delete(settings, branches(*held, *over, running)[:-1]))
    assert found is None
    assert names(snapshots_to_delete(settings, branches(*held[:2], *over, running))) == over[:1]


def test_an_abandoned_release_keeps_its_snapshot_only_while_somebody_may_go_back_to_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = [snapshot_name(abandoned(settings, monkeypatch, "migrate production")) for _ in range(6)]
    assert snapshots_to_delete(settings, branches(*dead, "dev-ana")) is None
    untouched = [snapshot_name(abandoned(settings, monkeypatch)) for _ in range(4)]
    assert names(snapshots_to_delete(settings, branches(*dead[:3], *untouched))) == untouched[:1]
    good = snapshot_name(promoted(settings))
    assert names(snapshots_to_delete(settings, branches(*dead, good))) == dead[:1]


def test_branches_that_no_release_made_are_left_alone(settings: Settings) -> None:
    assert snapshots_to_delete(settings, branches(*(f"release-of-ana-{n}" for n in range(9)))) is None
