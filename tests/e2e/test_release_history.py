"""The whole history, from the core to the head, as releases under traffic: nobody notices."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from flows.cli import outcome
from migrations.history import History
from tasks import connections, rehearsal

Working = Callable[[], AbstractContextManager[Any]]


def test_the_whole_history_is_released_under_traffic_without_a_failed_request(live: Any, users: Working) -> None:
    history = History.load()
    before = outcome.look()
    with users() as at_work:
        # One revision alone, then all that is left: expand before the application, contract after it.
        live.release("v3", target_revision="20251101_0900")
        summary = live.release("v3")
    after = outcome.look()
    assert summary == f"release succeeded: v3 serves at {history.heads[0]}"
    assert (at_work.report.errors, at_work.report.failures) == (0, ())
    assert {written for _, written in at_work.acknowledged} <= after.message_ids
    assert before.message_ids <= after.message_ids
    assert after.revisions == history.heads
    assert len(after.catalog.of_kind("table")) == 41
    assert len(after.catalog.of_kind("enum")) == 15

    with connections.ledger(live.given) as ledger:
        steps = [step.step for step in ledger.steps(live.newest().id) if step.event == "done"]
    assert steps.index("promote") < steps.index("contract production")
    evidence = rehearsal.of_release(live.newest().id)
    assert evidence is not None
    assert evidence.compatible
    assert {one.revision for one in evidence.revisions if one.phase == "contract"} >= {"20251205_0900"}
