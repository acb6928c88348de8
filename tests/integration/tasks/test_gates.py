"""What may be rolled back, kept, or counts as good, over a real ledger and every state that production may be in."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from deployments.ledger import EndState, Ledger, Release, ReleaseNotFound, ReleaseRunning
from deployments.settings import Settings
from migrations.restore.restore_point import Seal
from tasks import gates, production_state, record
from tasks.acts import Act
from tasks.errors import NotReady
from tasks.release_history import KEPT, SERVES, ReleaseHistory, ReleasesInEffect
from tasks.values import RestorePoint
from tests.integration.deployments.ledger.test_ledger_commands import SETTINGS

TARGET = "production"


class Story:
    """Releases as the ledger has them, and what stands in production."""

    def __init__(self, ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
        self.ledger = ledger
        self.patch = patch

    def begin(self, *, undoes: Release | None = None, ref: str = "v2") -> Release:
        return self.ledger.begin_release(
            target=TARGET,
            ref=ref,
            commit_sha="5d1c" * 10,
            target_revision="head",
            requested_by=record.rollback_requested_by(undoes.id, "a test") if undoes else "flow run brave-fox",
            flow_run_id=None,
            lease_s=60,
        )

    def end(self, release: Release, state: EndState | None) -> Release:
        if state is None:
            self.die()
            return self.ledger.abandon(release.id, reason="a test", by="ana")
        return self.ledger.end_release(release.id, state, f"{state} by a test")

    def release(self, state: EndState | None, *acts: str, serving: str | None = "dpl_0") -> Release:
        """A release that sealed a restore point, did some acts, and ended; abandoned where no state is given."""
        begun = self.begin()
        self.ledger.note(begun.id, "plan")
        if acts:
            self.seal(begun, serving)
        self.act(begun, *acts)
        return self.end(begun, state)

    def act(self, release: Release, *acts: str) -> None:
        for act in acts:
            with self.ledger.step(release.id, act, {"deployment": f"dpl_{release.id}"}):
                pass

    def seal(self, release: Release, serving: str | None) -> None:
        at = datetime(2026, 11, 27, tzinfo=UTC)
        point = RestorePoint(
            production_branch_id="br_1",
            snapshot_branch_id="br_2",
            seal=Seal("0/1", "1:1:", (), at, 1, {}),
            catalog_digest="",
            catalog_json="[]",
            revisions=("a",),
            serving_deployment_id=serving,
            baseline=(),
            target_revision="b",
        )
        with self.ledger.step(release.id, Act.RESTORE_POINT) as entry:
            entry.result(record.restore_point_json(point))

    def newest(self) -> Release:
        return self.ledger.releases(target=TARGET, limit=1)[0]

    def rollback(self, of: Release, state: EndState | None, *acts: str) -> Release:
        begun = self.begin(undoes=of)
        self.act(begun, *acts)
        return self.end(begun, state)

    def die(self) -> None:
        """Let every process that held a release be gone."""

        def gone(_: str) -> str:
            return "gone"

        for room in ("releases", "held_releases"):
            self.patch.setattr(f"deployments.ledger.{room}.holder_state", gone)

    def stands(self, found: ReleasesInEffect) -> None:
        def read(_: Settings) -> ReleasesInEffect:
            return found

        self.patch.setattr(ReleasesInEffect, "read", read)

    def production(self, *, schema_of: Release | None = None, build_of: Release | None = None) -> None:
        """Say what stands in production."""
        releases = frozenset({schema_of.id} if schema_of else ())
        serving = f"dpl_{build_of.id}" if build_of else "dpl_0"
        self.stands(ReleasesInEffect(releases, serving))

    def down(self) -> None:
        """Neither production's database nor what it serves can be asked."""
        self.stands(ReleasesInEffect(None, None))


MOVED = ("migrate production", "promote", Act.WATCH_PRODUCTION)


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    for name, value in {**SETTINGS, "LEDGER_URL": url, "PILOTAGE_TARGET": TARGET}.items():
        monkeypatch.setenv(name, value)
    with Ledger.open(url) as opened:
        yield Story(opened, monkeypatch)


def test_what_changed_nothing_since_bars_no_rollback(story: Story) -> None:
    wanted = story.release("undecided", *MOVED)
    story.release("succeeded")
    story.release("failed")
    story.release("rolled_back", "migrate production")
    story.rollback(wanted, "undecided")
    story.rollback(wanted, None, "roll back application")
    story.production(schema_of=wanted, build_of=wanted)
    for way in ("application", "data"):
        assert gates.rollback_target(wanted.id, way).nothing_to_do == ""
    story.down()
    assert gates.rollback_target(wanted.id, "data").nothing_to_do == ""


@pytest.mark.parametrize("way", ["application", "data"])
def test_rollback_of_a_release_that_found_an_earlier_build_good_takes_that_build_back(
    story: Story, way: Literal["application", "data"]
) -> None:
    wanted = story.release("undecided", *MOVED)
    again = story.begin()
    story.ledger.note(again.id, record.VALIDATES, {"release": wanted.id})
    with story.ledger.step(again.id, Act.WATCH_PRODUCTION, {"deployment": f"dpl_{wanted.id}"}):
        pass
    story.end(again, "succeeded")
    story.production(schema_of=wanted, build_of=wanted)
    found = gates.rollback_target(again.id, way)
    assert (found.release.id, found.nothing_to_do) == (wanted.id, "")
    assert gates.rollback_target(wanted.id, way).nothing_to_do == ""


@pytest.mark.parametrize("state", ["succeeded", "undecided", None])
@pytest.mark.parametrize("stands", ["schema", "build"])
@pytest.mark.parametrize("down", [False, True])
def test_a_later_release_that_stands_bars_it_and_is_named(
    story: Story, state: EndState | None, stands: str, down: bool
) -> None:
    wanted = story.release("succeeded", *MOVED)
    later = story.release(state, "migrate production" if stands == "schema" else "promote")
    if down:
        story.down()
    elif stands == "schema":
        story.production(schema_of=later, build_of=wanted)
    else:
        story.production(schema_of=wanted, build_of=later)
    with pytest.raises(NotReady, match=f"{later.id} came after it.*`pilotage rollback {later.id}`"):
        gates.rollback_target(wanted.id, "data")
    assert gates.rollback_target(later.id, "data").nothing_to_do == ""


def test_the_data_are_restored_after_the_application_was_rolled_back_and_once(story: Story) -> None:
    wanted = story.release("succeeded", *MOVED)
    first = story.rollback(wanted, "rolled_back", "roll back application")
    story.production(schema_of=wanted)
    assert first.id in gates.rollback_target(wanted.id, "application").nothing_to_do
    assert (
        f"`pilotage rollback {wanted.id} --way data`" in gates.rollback_target(wanted.id, "application").nothing_to_do
    )
    assert gates.rollback_target(wanted.id, "data").nothing_to_do == ""
    story.rollback(wanted, "rolled_back", "restore production", "receipt")
    story.production()
    assert "has taken" in gates.rollback_target(wanted.id, "data").nothing_to_do
    assert "has taken" in gates.rollback_target(wanted.id, "application").nothing_to_do


@pytest.mark.parametrize("left", ["nothing", "receipt", "protection", "maintenance"])
@pytest.mark.parametrize("way", ["application", "data"])
def test_what_a_way_back_has_left_is_done_by_the_next_try(
    story: Story, way: Literal["application", "data"], left: str
) -> None:
    def refused(_: Settings) -> bool:
        return left == "maintenance"

    wanted = story.release("succeeded", *MOVED)
    acts = ("restore production", "roll back application", *(("receipt",) if left != "receipt" else ()))
    back = story.rollback(wanted, "rolled_back", *acts)
    story.ledger.note(back.id, "protection lifted", {"branch_id": "br_1", "protection_lifted": True})
    if left != "protection":
        story.ledger.note(back.id, "protection set", {"protection_lifted": False})
    story.patch.setattr(production_state, "maintenance", refused)
    story.production()
    assert (gates.rollback_target(wanted.id, way).nothing_to_do != "") is (left == "nothing")


def test_what_restores_to_later_points_have_taken_is_on_branches_of_theirs(story: Story) -> None:
    def restore(release: Release, branch: str) -> None:
        with story.ledger.step(release.id, "restore production", {"branch": branch}) as entry:
            entry.result({"branch": branch})

    wanted = story.release("succeeded", *MOVED)
    assert gates.kept_since(wanted.id) == ()
    itself = story.begin()
    restore(itself, "before-rollback-b")
    story.end(itself, "rolled_back")
    later = story.release("succeeded", *MOVED)
    undone = story.begin(undoes=later)
    restore(undone, "before-rollback-a")
    story.end(undone, "rolled_back")
    own = story.begin(undoes=wanted)
    restore(own, "before-rollback-own")
    story.end(own, "undecided")
    assert gates.kept_since(wanted.id) == ("before-rollback-a", "before-rollback-b")
    assert gates.kept_since(later.id) == ("before-rollback-own",)


@pytest.mark.parametrize("state", ["undecided", None])
@pytest.mark.parametrize("way", ["application", "data"])
def test_a_rollback_that_broke_off_is_run_again_even_where_nothing_of_the_release_stands(
    story: Story, state: EndState | None, way: str
) -> None:
    wanted = story.release("succeeded", *MOVED)
    broken = story.rollback(wanted, state, "restore production", "roll back application")
    story.production()
    assert gates.rollback_target(wanted.id, "data").nothing_to_do == ""
    with pytest.raises(NotReady, match=f"`pilotage rollback {wanted.id}`"):
        gates.rollback_target(broken.id, "data")


def test_what_cannot_be_rolled_back_says_what_can(story: Story) -> None:
    first = story.release("succeeded", *MOVED, serving=None)
    story.production(schema_of=first, build_of=first)
    with pytest.raises(NotReady, match="is the first one"):
        gates.rollback_target(first.id, "application")
    nothing = story.release("succeeded")
    with pytest.raises(NotReady, match=r"sealed no restore point.*There is no release to roll back"):
        gates.rollback_target(nothing.id, "application")
    wanted = story.release("undecided", *MOVED)
    story.production(schema_of=wanted, build_of=wanted)
    with pytest.raises(NotReady, match=f"sealed no restore point.*`pilotage rollback {wanted.id}`"):
        gates.rollback_target(nothing.id, "application")
    back = story.rollback(wanted, "rolled_back", "roll back application")
    with pytest.raises(NotReady, match=r"is a rollback of .*`pilotage release start v2`"):
        gates.rollback_target(back.id, "application")
    with pytest.raises(ReleaseNotFound):
        gates.rollback_target("nobody", "application")


@pytest.mark.parametrize("way", ["application", "data"])
def test_what_rolled_itself_back_has_nothing_left_to_roll_back(story: Story, way: str) -> None:
    wanted = story.release("rolled_back", "migrate production")
    story.production()
    assert f"{wanted.id} has taken" in gates.rollback_target(wanted.id, "data").nothing_to_do


def test_a_dead_run_in_the_way_is_to_be_abandoned(story: Story) -> None:
    wanted = story.release("succeeded", *MOVED)
    dead = story.begin(undoes=wanted)
    story.die()
    story.production(build_of=wanted)
    for refused in (wanted, dead):
        with pytest.raises(ReleaseRunning, match=f"`pilotage release abandon {dead.id}`"):
            gates.rollback_target(refused.id, "data")
        with pytest.raises(ReleaseRunning, match=f"`pilotage release abandon {dead.id}`"):
            gates.release_to_keep(refused.id)


def test_a_build_is_good_once_it_was_watched_to_the_end_of_a_release_that_succeeded_and_not_for_being_kept(
    story: Story,
) -> None:
    held = story.release("undecided", *MOVED)
    story.release("succeeded")
    build = f"dpl_{held.id}"
    found = gates.serving_build(build)
    assert (found.is_validated, found.release_id, found.contracted) == (False, held.id, False)
    assert found.point is not None
    again = story.begin()
    with story.ledger.step(again.id, Act.WATCH_PRODUCTION, {"deployment": build}):
        pass
    assert not gates.serving_build(build).is_validated
    story.end(again, "succeeded")
    assert gates.serving_build(build).is_validated
    kept = story.release("undecided", *MOVED)
    story.ledger.note(kept.id, KEPT, {"deployment": f"dpl_{kept.id}"})
    found = gates.serving_build(f"dpl_{kept.id}")
    assert (found.is_validated, found.release_id) == (False, kept.id)
    assert gates.serving_build("dpl_of_nobody") == gates.ServingBuild(is_validated=False)


@pytest.mark.parametrize("state", ["undecided", None])
def test_what_was_left_open_is_kept_where_nothing_changed_production_since(
    story: Story, state: EndState | None
) -> None:
    held = story.release(state, *MOVED)
    story.release("failed")
    story.rollback(held, "undecided")
    assert gates.release_to_keep(held.id).id == held.id
    broken = story.rollback(held, "undecided", "restore production")
    with pytest.raises(NotReady, match=f"`pilotage release keep {broken.id}`"):
        gates.release_to_keep(held.id)
    assert gates.release_to_keep(broken.id).id == broken.id
    story.ledger.note(broken.id, KEPT)
    with pytest.raises(NotReady, match="kept already"):
        gates.release_to_keep(broken.id)


def test_what_leaves_nothing_to_decide_is_not_kept(story: Story) -> None:
    for ended in ("succeeded", "rolled_back", "failed"):
        with pytest.raises(NotReady, match=f"ended as {ended}"):
            gates.release_to_keep(story.release(ended, *MOVED).id)
    with pytest.raises(NotReady, match="changed nothing in production"):
        gates.release_to_keep(story.release("undecided").id)
    with pytest.raises(ReleaseNotFound):
        gates.release_to_keep("nobody")


@pytest.mark.parametrize(
    ("acts", "said"),
    [
        ((), "production was not touched: `pilotage release start v2`"),
        (("migrate production",), "`pilotage release keep {id}` keeps what stands; `pilotage rollback {id} --way app"),
        ((*MOVED, "restore production"), "`pilotage rollback {id} --way data` goes back."),
    ],
)
def test_whoever_gives_a_release_up_is_told_what_leads_on(story: Story, acts: tuple[str, ...], said: str) -> None:
    given_up = story.release(None, *acts)
    assert said.format(id=given_up.id) in gates.leads_on_from(given_up, story.ledger)


def test_no_way_back_is_named_where_nothing_was_served_before(story: Story) -> None:
    first = story.release(None, *MOVED, serving=None)
    told = gates.leads_on_from(first, story.ledger)
    assert told.endswith(f"`pilotage release keep {first.id}` keeps what stands.")


@pytest.mark.parametrize(
    ("acts", "said"), [((), "`, with the `--way` that it was to go,"), (("restore production",), " --way data`")]
)
def test_whoever_gives_a_rollback_up_is_told_to_run_it_again(story: Story, acts: tuple[str, ...], said: str) -> None:
    undone = story.release("succeeded", *MOVED)
    given_up = story.rollback(undone, None, *acts)
    told = gates.leads_on_from(given_up, story.ledger)
    assert told.startswith(f"`pilotage rollback {undone.id}{said} goes on")


def test_what_an_earlier_try_restored_is_gone_on_with_by_the_way_of_the_data(story: Story) -> None:
    undone = story.release("succeeded", *MOVED)
    story.rollback(undone, None, "restore production")
    given_up = story.rollback(undone, None, "roll back application")
    assert f"`pilotage rollback {undone.id} --way data` goes on" in gates.leads_on_from(given_up, story.ledger)


def may_serve(story: Story) -> frozenset[str] | None:
    return ReleaseHistory.read(story.ledger, TARGET).may_serve()


def test_build_that_may_serve_is_the_one_that_the_newest_act_left(story: Story) -> None:
    assert may_serve(story) is None
    first = story.release("succeeded", *MOVED)
    assert may_serve(story) == {f"dpl_{first.id}"}
    story.release("failed", "migrate production")
    assert may_serve(story) == {f"dpl_{first.id}"}
    second = story.release("succeeded", *MOVED)
    assert may_serve(story) == {f"dpl_{second.id}"}
    story.rollback(second, "rolled_back", "roll back application")
    assert may_serve(story) == {f"dpl_{story.newest().id}"}


@pytest.mark.parametrize("name", ["promote", "roll back application"])
def test_both_builds_may_serve_where_nobody_saw_the_end_of_a_move(story: Story, name: str) -> None:
    first = story.release("succeeded", *MOVED)
    killed = story.begin()
    story.ledger.begin_step(killed.id, name, {"deployment": "dpl_new"})
    story.end(killed, None)
    assert may_serve(story) == {f"dpl_{first.id}", "dpl_new"}
    failed = story.begin()
    story.ledger.begin_step(failed.id, name, {"deployment": "dpl_other"})
    story.ledger.fail_step(failed.id, name)
    assert may_serve(story) == {f"dpl_{first.id}", "dpl_new", "dpl_other"}
    with story.ledger.step(failed.id, name, {"deployment": "dpl_other"}):
        pass
    assert may_serve(story) == {"dpl_other"}


@pytest.mark.parametrize("name", [KEPT, SERVES])
def test_build_that_was_kept_or_seen_at_the_end_is_the_one_that_serves(story: Story, name: str) -> None:
    story.release("undecided", *MOVED)
    story.ledger.note(story.newest().id, name, {"deployment": "dpl_by_hand"})
    assert may_serve(story) == {"dpl_by_hand"}


MOVED_BACK = {"deployment": "dpl_before", "instead_of": "dpl_new"}


def rolled_back(
    story: Story, *, of: Release, moved: dict[str, str] | None = None, acts: tuple[str, ...] = ()
) -> Release:
    row = story.begin(undoes=of)
    with story.ledger.step(row.id, "roll back application", MOVED_BACK if moved is None else moved):
        pass
    story.act(row, *acts)
    return story.end(row, "rolled_back")


def test_rollback_of_the_application_is_taken_back_to_the_build_that_served_before(story: Story) -> None:
    wanted = story.release("succeeded", *MOVED)
    first = rolled_back(story, of=wanted)
    story.production(schema_of=wanted)
    found = gates.rollback_target(first.id, "application")
    assert (found.release.id, found.point.serving_deployment_id, found.brings_back) == (first.id, "dpl_new", wanted.id)
    assert found.nothing_to_do == ""
    with pytest.raises(NotReady, match=f"`pilotage rollback {wanted.id} --way data`"):
        gates.rollback_target(first.id, "data")

    second = rolled_back(story, of=first, moved={"deployment": "dpl_new", "instead_of": "dpl_before"})
    third = gates.rollback_target(second.id, "application")
    assert (third.point.serving_deployment_id, third.brings_back) == ("dpl_before", wanted.id)


def test_rollback_is_not_taken_back_where_that_is_not_the_whole_of_it(story: Story) -> None:
    wanted = story.release("succeeded", *MOVED)
    held = story.rollback(wanted, "undecided", "roll back application")
    unmoved = story.rollback(wanted, "rolled_back")
    before = rolled_back(story, of=wanted)
    restored = rolled_back(story, of=wanted, acts=("restore production",))
    story.production(schema_of=wanted)
    for row, said in (
        (held, f"run it again with `pilotage rollback {wanted.id}`"),
        (unmoved, "the database has gone back as well: .*`pilotage release start v2`"),
        (before, "the database has gone back as well: .*`pilotage release start v2`"),
        (restored, "the database has gone back as well: .*`pilotage release start v2`"),
    ):
        with pytest.raises(NotReady, match=said):
            gates.rollback_target(row.id, "application")


@pytest.mark.parametrize("moved", [{}, {"deployment": "dpl_before"}])
def test_rollback_of_which_the_ledger_does_not_know_what_served_before_names_the_release(
    story: Story, moved: dict[str, str]
) -> None:
    wanted = story.release("succeeded", *MOVED)
    row = rolled_back(story, of=wanted, moved=moved) if moved else story.rollback(wanted, "rolled_back")
    story.production(schema_of=wanted)
    with pytest.raises(NotReady, match="`pilotage release start v2`"):
        gates.rollback_target(row.id, "application")
