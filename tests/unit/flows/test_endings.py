"""How releases and rollbacks end, with each of those that they lean on failing in its turn."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.errors import DeploymentError, ServiceRefused
from deployments.git.repository import Commit
from deployments.ledger import LedgerError
from flows import rollback_choice
from flows.decision import Recovery, RollbackPath
from flows.release import choose_and_run_rollback, close_and_announce
from flows.rollback import recover_and_report
from flows.rollback_choice import ReleaseProgress
from flows.rollback_paths import ROLLBACK_WATCHES
from flows.rollback_report import RollbackContext, hold_for_decision
from migrations.errors import DatabaseUnreachable
from migrations.restore.receipt_of_writes import Receipt, TableReceipt
from migrations.restore.restore_point import Seal
from tasks import best_effort, catalogue, errors, gates, notification, production_state, protection, record
from tasks.errors import ApplicationFailed, CannotTell, DataFailed, ProcessDied, RollbackFailed
from tasks.production_state import ProductionState
from tasks.steps import maintenance, report, restoration, snapshot, staging, status, validation
from tasks.values import ReleaseRequest, Restoration, RestorePoint, Subject, Verdict

COMMIT = Commit("c" * 40, "v2", "")
SEAL = Seal("0/1A", "1:1:", (), datetime(2026, 11, 1, tzinfo=UTC), 1)
POINT = RestorePoint("br-main", "br-snap", SEAL, "", "{}", ("r1",), "dpl_old", (), "r2")
RESTORED = Restoration("before-rollback-x", "br-kept", "0/1A", datetime(2026, 11, 1, tzinfo=UTC))
RECEIPT = Receipt((TableReceipt("users", 3, 0, 0, 0, ()),))
STANDS = ProductionState("dpl_old", ("r1",), maintenance=False, protected=True)
FAILURES: tuple[Exception, ...] = (
    OSError(28, "No space left on device"),
    LedgerError("the ledger is away"),
    ServiceRefused("Neon", "GET /branches", "401 Not authorized", status=401),
)
each_failure = pytest.mark.parametrize("failure", FAILURES, ids=lambda one: type(one).__name__)


@dataclass
class World:
    """All that a way back leans on; each call is kept, and one of them can be told to fail."""

    patch: pytest.MonkeyPatch
    calls: list[str] = field(default_factory=list[str])
    closed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    said: list[tuple[str, dict[str, str], str]] = field(default_factory=list[tuple[str, dict[str, str], str]])
    notes: list[str] = field(default_factory=list[str])
    reports: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def answers(self, room: object, name: str, answer: object = None) -> None:
        def call(*given: Any, **named: Any) -> object:
            self.calls.append(f"{name} {'on' if named['on'] else 'off'}" if "on" in named else name)
            return answer(*given, **named) if callable(answer) else answer

        self.patch.setattr(room, name, call)

    def fails(self, room: object, name: str, failure: Exception) -> None:
        def fail(*_: object, **__: object) -> None:
            raise failure

        self.answers(room, name, fail)

    def close(self, _: str, state: str, summary: str) -> None:
        self.closed.append((state, summary))

    def tell(self, headline: str, facts: dict[str, str], *, text: str = "", next_step: str = "", **_: object) -> bool:
        self.said.append((headline, facts, f"{text}{next_step}"))
        return True

    def publish(self, _: str, summary: str, __: object, *, next_step: str = "") -> None:
        self.reports.append((summary, next_step))

    def note(self, _: str, name: str, **__: object) -> None:
        self.notes.append(name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(monkeypatch)
    world.answers(record, "close_release", world.close)
    world.answers(record, "note", world.note)
    world.answers(notification, "tell", world.tell)
    world.answers(report, "publish", world.publish)
    world.answers(report, "affected", "12.0 s")
    world.answers(production_state, "read", STANDS)
    world.answers(restoration, "find_restore")
    world.answers(restoration, "record_found_restore")
    world.answers(restoration, "refuse_unrestorable")
    world.answers(restoration, "restore_production", RESTORED)
    world.answers(restoration, "roll_back_application", answer=True)
    world.answers(restoration, "downgrade_revisions")
    world.answers(restoration, "verify_unchanged")
    world.answers(restoration, "make_receipt", RECEIPT)
    world.answers(gates, "kept_since", ())
    world.answers(protection, "restore_protection", "")
    world.answers(catalogue, "record_production_catalog")
    world.answers(catalogue, "record_restored_catalog")
    world.answers(maintenance, "set_maintenance")
    world.answers(snapshot, "drop_snapshot")
    world.answers(staging, "roll_back_staging")
    world.answers(validation, "validate_database", ())
    world.answers(validation, "watch_production", ())
    world.answers(status, "serving_deployment_id", "dpl_new")
    world.answers(status, "applied_since", ("r2",))
    world.answers(status, "read_applied_since", ("r2",))
    world.answers(record, "has_begun", answer=True)
    return world


def walked(way: RollbackPath, point: RestorePoint | None = POINT) -> str:
    return recover_and_report(RollbackContext("x", COMMIT, point, ("r2",)), way, DataFailed("rows are wrong"), "v2")


BACK = (
    RollbackPath.NOTHING,
    RollbackPath.STAGING,
    RollbackPath.UNCHANGED,
    RollbackPath.APPLICATION,
    RollbackPath.DOWNGRADE,
    RollbackPath.RESTORE,
)
STATES = dict.fromkeys(BACK, "rolled_back") | {RollbackPath.NOTHING: "failed"}


@pytest.mark.parametrize("way", BACK)
@pytest.mark.parametrize(
    ("room", "name"),
    [
        (notification, "tell"),
        (report, "publish"),
        (report, "affected"),
        (record, "note"),
        (protection, "restore_protection"),
        (catalogue, "record_production_catalog"),
        (catalogue, "record_restored_catalog"),
        (snapshot, "drop_snapshot"),
        (restoration, "make_receipt"),
        (validation, "watch_production"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
@each_failure
def test_what_is_told_after_a_deed_never_changes_the_deed(
    world: World, way: RollbackPath, room: object, name: str, failure: Exception
) -> None:
    world.fails(room, name, failure)
    summary = walked(way)
    [(state, closed)] = world.closed
    assert state == STATES[way]
    assert summary.startswith(closed)
    if way in {RollbackPath.DOWNGRADE, RollbackPath.RESTORE}:
        assert [call for call in world.calls if call.startswith("set_maintenance")][-1] == "set_maintenance off"
    if name != "tell":
        assert len(world.said) == (1 if way is RollbackPath.NOTHING else 2)
    if name in world.calls and name not in {"tell", "publish", "affected", "note"}:
        assert str(failure) in summary
        assert str(failure) in world.said[-1][1]["To mend"]
    if name in world.calls and name in {"tell", "publish"}:
        assert world.notes


def test_run_that_loses_its_release_while_it_watches_tells_nothing_of_it(world: World) -> None:
    class Lost(Exception):
        """Somebody else holds the release now."""

    def watch(*_: object, **__: object) -> None:
        world.fails(record, "stop_if_lost", Lost("another process has taken it over"))
        raise Lost("another process has taken it over")

    world.patch.setattr(validation, "watch_production", watch)
    with pytest.raises(Lost):
        walked(RollbackPath.APPLICATION)
    assert world.closed == []
    assert [headline for headline, _, _ in world.said] == ["Release of v2 failed"]


@pytest.mark.parametrize("way", BACK)
def test_who_waits_for_the_run_is_told_what_failed_and_what_to_do(world: World, way: RollbackPath) -> None:
    told = walked(way)
    assert told.count("what failed: rows are wrong") == 1
    assert told.endswith(f"What to do: {world.said[-1][2]}")


def test_a_rollback_by_hand_is_not_told_as_a_failure(world: World) -> None:
    told = by_hand(RollbackPath.APPLICATION)
    assert "what failed" not in told
    assert told.startswith(world.closed[0][1])


@pytest.mark.parametrize("moved", [True, False])
def test_an_application_that_was_never_promoted_is_not_said_to_have_been_rolled_back(world: World, moved: bool) -> None:
    world.answers(restoration, "roll_back_application", answer=moved)
    assert ("application rolled back" in walked(RollbackPath.APPLICATION)) is moved


DOES = {"close", "roll", "verify", "restore", "move", "finish", "take", "validate"}


@pytest.mark.parametrize("way", [way for way in BACK if way is not RollbackPath.NOTHING])
def test_what_is_told_before_a_deed_does_not_say_that_it_is_done(world: World, way: RollbackPath) -> None:
    walked(way)
    assert world.said[0][1]["Doing now"] == way.value
    assert all(said.value.split()[0] in DOES for said in (*RollbackPath, *Recovery))


@pytest.mark.parametrize("way", [RollbackPath.NOTHING, RollbackPath.HOLD])
def test_what_ends_without_a_deed_is_told_once_with_what_failed(world: World, way: RollbackPath) -> None:
    walked(way)
    [(_, facts, _)] = world.said
    assert facts["What failed"] == "rows are wrong"


@pytest.mark.parametrize("way", [*BACK, RollbackPath.HOLD])
def test_what_a_recovery_has_said_that_it_does_is_not_told_again(world: World, way: RollbackPath) -> None:
    context = RollbackContext("x", COMMIT, POINT, ("r2",))
    recover_and_report(context, way, ProcessDied("its process died"), "v2", is_announced=True)
    [(headline, facts, _)] = world.said
    assert "Doing now" not in facts
    assert headline != "Release of v2 failed"
    assert world.notes == ["rollback path"]


@pytest.mark.parametrize("way", [*BACK, RollbackPath.HOLD])
@each_failure
def test_a_ledger_that_cannot_be_closed_is_told(world: World, way: RollbackPath, failure: Exception) -> None:
    world.fails(record, "close_release", failure)
    walked(way)
    assert "`pilotage recover` closes it" in world.said[-1][1]["To mend"]
    assert str(failure) in world.said[-1][1]["To mend"]
    assert "publish" in world.calls


ACTS = {
    RollbackPath.STAGING: ((staging, "roll_back_staging"),),
    RollbackPath.UNCHANGED: ((restoration, "verify_unchanged"), (validation, "validate_database")),
    RollbackPath.APPLICATION: ((restoration, "roll_back_application"), (validation, "validate_database")),
    RollbackPath.DOWNGRADE: (
        (maintenance, "set_maintenance"),
        (restoration, "roll_back_application"),
        (restoration, "downgrade_revisions"),
        (validation, "validate_database"),
    ),
    RollbackPath.RESTORE: (
        (restoration, "find_restore"),
        (restoration, "refuse_unrestorable"),
        (maintenance, "set_maintenance"),
        (restoration, "restore_production"),
        (restoration, "roll_back_application"),
        (validation, "validate_database"),
    ),
}


@pytest.mark.parametrize(("way", "room", "name"), [(way, *act) for way, acts in ACTS.items() for act in acts])
@each_failure
def test_an_act_that_fails_is_told_with_what_was_done_and_what_stands(
    world: World, way: RollbackPath, room: object, name: str, failure: Exception
) -> None:
    world.fails(room, name, failure)
    with pytest.raises(RollbackFailed) as caught:
        walked(way)
    [(state, summary)] = world.closed
    assert state == "undecided"
    assert str(caught.value) == f"{summary}. What to do: {world.said[-1][2]}"
    assert str(failure) in summary
    assert "done before that: " in summary
    assert "production serves dpl_old" in summary
    headline, facts, said = world.said[-1]
    assert headline == "Rollback of v2 failed: a person is needed"
    assert facts["What stands"] == STANDS.description
    assert "pilotage rollback x --way " in said
    assert "restore_protection" in world.calls


def test_what_a_restore_did_is_told_though_the_way_broke_off_after_it(world: World) -> None:
    world.fails(restoration, "roll_back_application", ServiceRefused("Vercel", "POST", "402", status=402))
    with pytest.raises(RollbackFailed, match=r"production restored to the sealed point 0/1A, .*before-rollback-x"):
        walked(RollbackPath.RESTORE)
    assert world.said[-1][1]["Kept branch"] == "before-rollback-x"
    assert "set_maintenance off" not in world.calls
    assert "--way data" in world.said[-1][2]


def test_what_a_restore_took_is_told_with_its_beginning_and_what_others_have_taken_since(world: World) -> None:
    world.answers(gates, "kept_since", ("before-rollback-v3",))
    by_hand(RollbackPath.RESTORE)
    told = world.said[-1][1]["Written since the restore point"]
    assert told.startswith("since 2026-11-01 00:00 UTC 3 rows inserted")
    assert told.endswith("what other restores have taken since: see before-rollback-v3")


def test_writes_are_refused_only_once_a_restore_is_known_to_be_possible(world: World) -> None:
    world.fails(restoration, "refuse_unrestorable", RollbackFailed("no room"))
    with pytest.raises(RollbackFailed, match="no room"):
        walked(RollbackPath.RESTORE)
    assert not [call for call in world.calls if call.startswith("set_maintenance")]


def test_writes_are_let_in_again_where_a_restore_is_refused(world: World) -> None:
    world.fails(restoration, "restore_production", ServiceRefused("Neon", "POST", "422", status=422))
    with pytest.raises(RollbackFailed, match="nothing was moved"):
        walked(RollbackPath.RESTORE)
    assert world.calls.count("set_maintenance on") == world.calls.count("set_maintenance off") == 1


def test_writes_stay_refused_where_it_cannot_be_told_whether_production_was_restored(world: World) -> None:
    world.fails(restoration, "restore_production", ServiceRefused("Neon", "POST", "500", status=500))
    answers = iter([None])

    def unknown(*_: object) -> None:
        if next(answers, "gone") == "gone":
            raise DeploymentError("Neon is away")

    world.answers(restoration, "find_restore", unknown)
    with pytest.raises(RollbackFailed, match="Neon is away"):
        walked(RollbackPath.RESTORE)
    assert "set_maintenance off" not in world.calls


def test_writes_stay_refused_where_the_schema_is_half_way_and_the_restore_is_refused(world: World) -> None:
    world.fails(restoration, "downgrade_revisions", RollbackFailed("written meanwhile"))
    world.fails(restoration, "restore_production", ServiceRefused("Neon", "POST", "422", status=422))
    with pytest.raises(RollbackFailed, match="application rolled back"):
        walked(RollbackPath.DOWNGRADE)
    assert "set_maintenance off" not in world.calls


def test_a_restore_told_failed_that_stands_all_the_same_is_gone_on_with(world: World) -> None:
    world.fails(restoration, "restore_production", DeploymentError("ended as failed"))
    found = iter([None, RESTORED])

    def find(*_: object) -> Restoration | None:
        return next(found)

    world.answers(restoration, "find_restore", find)
    assert walked(RollbackPath.RESTORE).startswith(
        "rolled back: production restored to the sealed point 0/1A, the previous"
    )


def by_hand(way: RollbackPath) -> str:
    back = RollbackContext("y", COMMIT, POINT, ("r2",), failed_release_id="x", by_hand=True)
    return recover_and_report(back, way, RollbackFailed("by hand"), "v2")


WRONG = {
    Subject.DATA: Verdict("row counts", Subject.DATA, "users lost 40 %", "1 %", passed=False, detail=""),
    Subject.SCHEMA: Verdict("catalogue", Subject.SCHEMA, "1 differences", "0", passed=False, detail="index mine"),
}


@pytest.mark.parametrize("subject", WRONG)
@pytest.mark.parametrize("asked", [True, False], ids=["by hand", "validated again"])
def test_going_back_to_the_application_of_an_earlier_release_never_gives_up_rows_unasked(
    world: World, subject: Subject, asked: bool
) -> None:
    world.answers(validation, "validate_database", (WRONG[subject],))
    back = RollbackContext("y", COMMIT, POINT, ("r2",), failed_release_id="x", by_hand=asked)
    with pytest.raises(RollbackFailed, match=WRONG[subject].measured):
        recover_and_report(back, RollbackPath.APPLICATION, ApplicationFailed("answers 500"), "v2")
    assert "restore_production" not in world.calls
    assert "roll_back_application" in world.calls
    facts = world.said[-1][1]
    assert "`pilotage rollback x --way data`" in facts["Why it ended"]
    assert facts["Done before that"].startswith("application rolled back, the previous build serves again")


@pytest.mark.parametrize("way", [RollbackPath.APPLICATION, RollbackPath.DOWNGRADE])
def test_a_way_back_that_became_a_restore_is_told_as_one(world: World, way: RollbackPath) -> None:
    answers = iter([(WRONG[Subject.DATA],)])

    def judge(*_: object, **__: object) -> tuple[Verdict, ...]:
        return next(answers, ())

    world.answers(validation, "validate_database", judge)
    assert "production restored to the sealed point 0/1A" in walked(way)
    assert "look at the receipt and the kept branch" in world.said[-1][2]


SLOW = Verdict("latency P95", Subject.APPLICATION, "140 ms", "100 ms", passed=False, detail="50 probes")
ERRORS = Verdict("error rate", Subject.APPLICATION, "9 of 50 requests", "0.10%", passed=False, detail="")


@pytest.mark.parametrize("way", [RollbackPath.UNCHANGED, RollbackPath.APPLICATION, RollbackPath.RESTORE])
def test_a_way_back_after_which_users_are_served_slowly_is_done_and_says_so(world: World, way: RollbackPath) -> None:
    world.answers(validation, "watch_production", (SLOW,))
    assert walked(way).startswith("rolled back: ")
    assert world.closed[0][0] == "rolled_back"
    assert world.calls.count("watch_production") == ROLLBACK_WATCHES
    assert "served, but slowly" in world.said[-1][1]["To mend"]
    assert "140 ms (limit 100 ms)" in world.said[-1][1]["To mend"]


def test_a_way_back_after_which_users_get_errors_has_failed_however_fast(world: World) -> None:
    world.answers(validation, "watch_production", (SLOW, ERRORS))
    with pytest.raises(RollbackFailed, match="9 of 50 requests"):
        walked(RollbackPath.APPLICATION)


@pytest.mark.parametrize("way", [RollbackPath.APPLICATION, RollbackPath.RESTORE])
def test_a_rollback_by_hand_is_told_as_what_somebody_asked_for(world: World, way: RollbackPath) -> None:
    by_hand(way)
    begun, ended = world.said
    assert begun[0] == "Rollback of v2 begins"
    assert begun[2] == "Why: by hand"
    for _, facts, _ in (begun, ended):
        assert (facts["Release"], facts["Rollback"]) == ("x", "y")
        assert "What failed" not in facts


@pytest.mark.parametrize("before", [None, "dpl_old"])
def test_a_release_that_is_held_names_a_rollback_only_where_there_is_a_build_to_go_back_to(
    world: World, before: str | None
) -> None:
    summary = walked(RollbackPath.HOLD, replace(POINT, serving_deployment_id=before))
    said = world.said[-1][2]
    assert "`pilotage release keep x`" in said
    assert "`pilotage release start v2`" in said
    assert ("`pilotage rollback x` goes back" in said) is (before is not None)
    # So is whoever waits for the run, and whoever reads the report.
    assert summary == f"{world.closed[0][1]}. What to do: {said}"
    assert world.reports == [(world.closed[0][1], said)]


@pytest.mark.parametrize(
    ("point", "command"),
    [
        (None, "`pilotage release start v2 --reset-staging`"),
        (replace(POINT, serving_deployment_id=None), "`pilotage release keep x`"),
        (POINT, "`pilotage rollback x --way application`"),
    ],
)
def test_a_way_back_that_was_given_up_names_a_command_that_leads_on(
    world: World, point: RestorePoint | None, command: str
) -> None:
    way = RollbackPath.STAGING if point is None else RollbackPath.UNCHANGED
    world.fails(staging, "roll_back_staging", DeploymentError("staging hangs"))
    world.fails(restoration, "verify_unchanged", DeploymentError("production hangs"))
    with pytest.raises(RollbackFailed, match=command):
        walked(way, point)
    assert command in world.said[-1][2]


def test_a_rollback_by_hand_that_cannot_begin_names_the_release(world: World) -> None:
    hold_for_decision("y", "v2", RollbackFailed("by hand"), OSError("no"), undone_id="x")
    said = world.said[-1][2]
    assert "`pilotage rollback x --way application`" in said
    assert "keep" not in said


def test_whoever_goes_back_by_hand_finishes_a_restore_that_broke_off(world: World) -> None:
    world.answers(restoration, "find_restore", replace(RESTORED, before=True))
    summary = by_hand(RollbackPath.APPLICATION)
    assert "had been restored to the sealed point 0/1A before, and was not restored again" in summary
    assert {"make_receipt", "set_maintenance off"} <= set(world.calls)
    assert "restore_production" not in world.calls


@each_failure
def test_going_back_to_the_application_needs_no_neon(world: World, failure: Exception) -> None:
    world.fails(restoration, "find_restore", failure)
    assert by_hand(RollbackPath.APPLICATION).startswith(
        "rolled back: application rolled back, the previous build serves again"
    )


def test_writes_that_a_broken_off_way_back_has_refused_are_let_in_again(world: World) -> None:
    world.answers(production_state, "read", replace(STANDS, maintenance=True))
    by_hand(RollbackPath.APPLICATION)
    assert "set_maintenance off" in world.calls


def test_a_restore_that_is_complete_refuses_no_write_again(world: World) -> None:
    world.answers(restoration, "find_restore", replace(RESTORED, before=True))
    world.answers(status, "serving_deployment_id", "dpl_old")
    by_hand(RollbackPath.RESTORE)
    assert "set_maintenance on" not in world.calls
    assert "set_maintenance off" in world.calls


def test_an_application_that_does_not_refuse_writes_stops_no_restore(world: World) -> None:
    def follow(_: str, *, on: bool) -> None:
        if on:
            raise RollbackFailed("the application did not follow")

    world.answers(maintenance, "set_maintenance", follow)
    assert "writes were not refused meanwhile: the application did not follow" in walked(RollbackPath.RESTORE)


@pytest.mark.parametrize(
    "way", [RollbackPath.UNCHANGED, RollbackPath.APPLICATION, RollbackPath.DOWNGRADE, RollbackPath.RESTORE]
)
def test_users_who_are_not_served_well_after_a_way_back_are_told(world: World, way: RollbackPath) -> None:
    world.fails(validation, "watch_production", ApplicationFailed("answers 500"))
    with pytest.raises(RollbackFailed, match="answers 500; done before that: "):
        walked(way)
    assert world.closed[0][0] == "undecided"


def test_traffic_that_is_too_thin_to_judge_is_a_warning(world: World) -> None:
    world.fails(validation, "watch_production", CannotTell("no requests"))
    assert "could not be told: no requests" in walked(RollbackPath.RESTORE)
    assert world.closed[0][0] == "rolled_back"


# --- the release


REQUEST = ReleaseRequest(ref="v2")


@pytest.mark.parametrize(
    ("room", "name"), [(notification, "tell"), (report, "publish"), (record, "close_release"), (record, "note")]
)
@each_failure
def test_a_good_release_stays_good_whatever_cannot_be_told(
    world: World, room: object, name: str, failure: Exception
) -> None:
    world.fails(room, name, failure)
    summary = close_and_announce("x", REQUEST, ReleaseProgress(), "release succeeded")
    assert summary.startswith("release succeeded")
    assert (str(failure) in summary) is (name != "note")
    if name != "close_release":
        assert world.closed == [("succeeded", "release succeeded")]
    if name != "tell":
        assert world.said[0][0] == "Release of v2 succeeded"


@pytest.mark.parametrize(
    ("room", "name"),
    [(rollback_choice, "revisions_now"), (restoration, "rows_written_since"), (rollback_choice, "decide")],
)
@each_failure
def test_a_way_back_that_cannot_be_chosen_is_held_and_told(
    world: World, room: object, name: str, failure: Exception
) -> None:
    world.answers(restoration, "rows_written_since", ())
    world.fails(room, name, failure)
    progress = ReleaseProgress(point=POINT)
    if name == "rows_written_since":
        progress.evidence = Lossless()  # pyright: ignore[reportAttributeAccessIssue]
    summary = choose_and_run_rollback("x", REQUEST, COMMIT, progress, errors.ApplicationFailed("it crashes"))
    [(state, closed)] = world.closed
    assert state == "undecided"
    assert summary.startswith(f"{closed}. What to do: ")
    assert str(failure) in closed
    assert "it crashes" in closed
    headline, _, said = world.said[-1]
    assert headline == "Release of v2 is held for a person"
    assert "pilotage rollback x --way" in said
    assert "restore_production" not in world.calls
    assert "roll_back_application" not in world.calls


def test_production_that_stays_away_is_waited_for_and_told_once_and_then_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback_choice, "PRODUCTION_PATIENCE_S", 0.2)
    monkeypatch.setattr(rollback_choice, "LOOK_EVERY_S", 0.01)
    world.fails(status, "read_applied_since", DatabaseUnreachable("app on db:5432", "connection refused"))
    choose_and_run_rollback("x", REQUEST, COMMIT, ReleaseProgress(point=POINT), errors.ApplicationFailed("crashes"))
    assert world.calls.count("read_applied_since") > 2
    headlines = [headline for headline, _, _ in world.said]
    assert headlines.count("Release of v2 waits for production") == 1
    assert world.closed[0][0] == "undecided"


def test_what_waiting_cannot_mend_is_not_waited_for(world: World) -> None:
    world.fails(status, "read_applied_since", FAILURES[-1])
    choose_and_run_rollback("x", REQUEST, COMMIT, ReleaseProgress(point=POINT), errors.ApplicationFailed("crashes"))
    assert world.calls.count("read_applied_since") == 1
    assert world.closed[0][0] == "undecided"


@pytest.mark.parametrize(("promoted", "ended"), [(False, "rolled_back"), (True, "undecided")])
def test_release_that_failed_over_something_unknown_is_undecided_only_where_it_may_have_promoted(
    world: World, promoted: bool, ended: str
) -> None:
    world.answers(record, "has_begun", answer=promoted)
    world.answers(status, "read_applied_since", ())
    choose_and_run_rollback("x", REQUEST, COMMIT, ReleaseProgress(point=POINT), OSError("no space left"))
    assert world.closed[0][0] == ended


class Lossless:
    """Evidence of a plan whose way back loses nothing."""

    compatible = False

    class way_back:  # noqa: N801
        """The way back."""

        lossless = True


def test_a_note_that_the_ledger_does_not_take_is_no_error(world: World) -> None:
    world.fails(record, "note", LedgerError("away"))

    def fail() -> None:
        raise OSError("disk full")

    assert best_effort.attempt("x", "the report could not be published", fail) == (
        "the report could not be published: disk full"
    )


def test_slack_that_takes_nothing_is_noted(world: World) -> None:
    world.answers(notification, "tell", answer=False)
    assert best_effort.notify_slack("x", "Release of v2 succeeded", {}).startswith("Slack could not be told")
    assert world.notes == ["Slack could not be told"]
