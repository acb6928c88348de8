"""What whoever is on call is asked to do once a release is back, and how its run is said to have ended."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from deployments.ledger import Release, Step, StepEvent
from deployments.ledger.unclosed_releases import reached, read_leftovers
from flows.dead_release import read_end
from flows.decision import RollbackPath
from flows.next_steps import next_step
from tasks.errors import ApplicationFailed, CannotTell, MigrationFailed, ProcessDied, RollbackFailed

AT = datetime(2026, 11, 28, 3, 4, 5, tzinfo=UTC)
RELEASE = Release("r1", "shop", "v2", "c" * 40, "r2", "ana", None, "host:1:x", "running", AT, AT, None, "")
WAYS = [way for way in RollbackPath if way is not RollbackPath.HOLD]


def said(way: RollbackPath, error: Exception) -> str:
    return next_step(way, error, release_id="r1", ref="v2")


@pytest.mark.parametrize("way", RollbackPath)
@pytest.mark.parametrize("error", [ProcessDied("died"), ApplicationFailed("500")], ids=["died", "failed"])
def test_every_end_names_the_command_that_leads_on(way: RollbackPath, error: Exception) -> None:
    assert "`pilotage release start v2" in said(way, error)


@pytest.mark.parametrize("way", WAYS)
def test_nobody_is_told_to_mend_what_only_lost_its_process(way: RollbackPath) -> None:
    assert "mend" in said(way, ApplicationFailed("500"))
    assert "mend" not in said(way, ProcessDied("died"))
    assert "othing is known to be wrong with what was released" in said(way, ProcessDied("died"))


def test_a_revision_that_others_kept_from_its_locks_is_not_to_be_mended() -> None:
    assert said(RollbackPath.UNCHANGED, MigrationFailed("division by zero")).startswith(
        "mend what failed; staging still carries"
    )
    in_the_way = said(RollbackPath.UNCHANGED, MigrationFailed("is in the way", in_the_way=True))
    assert in_the_way.startswith("see to what stood in the revision's way")
    assert "mend" not in in_the_way


@pytest.mark.parametrize("way", WAYS)
def test_what_is_to_be_mended_is_what_failed_and_not_what_is_taken_back(way: RollbackPath) -> None:
    """A build or a revision is taken back for a key that a service refuses, too."""
    assert not re.search("mend the (application|revision|commit)", said(way, ApplicationFailed("env: answered 403")))


def test_only_what_was_seen_too_little_of_is_watched_for_longer() -> None:
    assert "with a longer `--watch-seconds`" in said(RollbackPath.HOLD, CannotTell("too few users"))
    held = said(RollbackPath.HOLD, OSError("the repository cannot be read"))
    assert held.startswith("decide: once what failed is mended, `pilotage release start v2`")
    assert "--watch-seconds" not in held
    assert "`pilotage release keep r1` keeps what stands" in held
    assert held.endswith("`pilotage rollback r1` goes back, and with `--way data` restores the rows as well.")


@pytest.mark.parametrize("way", [RollbackPath.APPLICATION, RollbackPath.RESTORE])
def test_who_has_gone_back_by_hand_is_not_told_to_mend_a_failure(way: RollbackPath) -> None:
    by_hand = next_step(way, RollbackFailed("by hand"), release_id="r1", ref="v2", by_hand=True)
    assert "failed" not in by_hand
    assert "`pilotage release start v2" in by_hand


def steps(*acts: tuple[str, StepEvent]) -> Sequence[Step]:
    return [Step(f"s{seq}", "r1", seq, name, event, AT, {}) for seq, (name, event) in enumerate(acts, 1)]


def test_an_act_that_was_broken_off_is_not_told_as_one_that_is_over() -> None:
    done = steps(("build", "begun"), ("build", "done"))
    assert reached(read_leftovers(RELEASE, done), done) == "after `build`"
    failed = steps(("migrate", "begun"), ("migrate", "failed"), ("told to stop", "noted"))
    assert reached(read_leftovers(RELEASE, failed), failed) == "in `migrate`"


@pytest.mark.parametrize(
    ("acts", "end"),
    [
        ((("migrate", "begun"),), "process died"),
        ((("migrate", "begun"), ("migrate", "failed"), ("told to stop", "noted")), "run was told to stop"),
        ((("told to stop", "noted"), ("Slack could not be told", "noted")), "run was told to stop"),
        ((("told to stop", "noted"), ("recovery", "noted")), "process died"),
        ((("told to stop", "noted"), ("roll back", "begun")), "process died"),
    ],
)
def test_a_run_that_was_told_to_stop_is_not_said_to_have_died(acts: Sequence[tuple[str, StepEvent]], end: str) -> None:
    assert read_end(steps(*acts)) == end
