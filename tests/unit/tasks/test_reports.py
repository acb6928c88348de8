"""What people read afterwards: the report's table of steps, and Slack's message."""

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.ledger import Message, MessageState, Release, Step
from migrations.restore.receipt_of_writes import Receipt, TableReceipt
from tasks.notification import duration, message
from tasks.production_state import ProductionState
from tasks.steps.report import affected_words, receipt_text, render, timeline
from tasks.values import Subject, Verdict

BEGAN = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)


def release() -> Release:
    return Release(
        id="v2-1",
        target="t",
        ref="v2",
        commit_sha="c0ffee",
        target_revision="20251101_0900",
        requested_by="",
        flow_run_id=None,
        holder="host:1:1",
        state="running",
        lease_expires_at=BEGAN,
        started_at=BEGAN,
        ended_at=None,
        summary="",
    )


def steps(*entries: tuple[str, str, float]) -> list[Step]:
    return [
        Step(str(seq), "v2-1", seq, name, event, BEGAN + timedelta(seconds=at), {})  # pyright: ignore[reportArgumentType]
        for seq, (name, event, at) in enumerate(entries)
    ]


def test_the_timeline_pairs_beginnings_with_ends_and_says_what_never_ended() -> None:
    told = timeline(
        steps(
            ("snapshot", "begun", 0),
            ("snapshot", "done", 1.5),
            ("promote", "begun", 2),
            ("protection", "noted", 2.5),
            ("promote", "failed", 3),
            ("promote", "begun", 4),
        )
    )
    assert [(name, took, outcome) for name, _, took, outcome in told] == [
        ("snapshot", "1.50 s", "done"),
        ("promote", "1.00 s", "failed"),
        ("protection", "", "noted"),
        ("promote", "", "not finished"),
    ]


def test_the_report_has_every_verdict_and_no_cell_breaks_its_table() -> None:
    verdict = Verdict("orphans", Subject.DATA, "2 violations", "0", passed=False, detail="a | b\nc")
    told = render(release(), steps(("snapshot", "begun", 0)), "rolled back", [verdict])
    assert told.startswith("# Release v2-1\n\n**rolled back**\n")
    assert "| orphans | 2 violations | 0 | fail | a \\| b c |" in told
    assert "| snapshot | 03:04:05 |  | not finished |" in told
    assert "by nobody named" in told
    assert "What to do" not in told
    held = render(release(), (), "undecided", (), "decide: `pilotage release keep v2-1`.")
    assert "**undecided**\n\nWhat to do: decide: `pilotage release keep v2-1`.\n" in held


def test_the_report_has_what_slack_was_not_told_and_what_becomes_of_it() -> None:
    states: tuple[MessageState, ...] = ("waiting", "refused", "too old")
    untold = [
        Message("m", "shop", "v2-1", f"message {number}", (), BEGAN, state, None) for number, state in enumerate(states)
    ]
    told = render(release(), (), "rolled back", (), untold=untold)
    assert [line.rpartition("did not take it: ")[2] for line in told.splitlines() if "not told to Slack" in line] == [
        "message 0 (the ledger keeps it, and sends it when Slack takes it)",
        "message 1 (the message itself was refused; the ledger keeps it)",
        "message 2 (the ledger keeps it; it is too old to be sent)",
    ]


def test_the_receipt_says_on_which_machine_and_where_its_rows_are_listed() -> None:
    tables = (TableReceipt("users", 3, 0, 0, 0, ()),)
    told = receipt_text(Receipt(tables, Path("kept/receipts/x.jsonl")), since=BEGAN)
    listed = f"listed in {Path.cwd() / 'kept/receipts/x.jsonl'} on {socket.gethostname()}"
    assert told == f"since 2026-11-23 03:04 UTC 3 rows inserted, 0 updated, 0 deleted, {listed}: users +3 ~0 -0"


def test_the_receipt_names_each_table_and_tells_users_rows_from_the_revisions() -> None:
    receipt = Receipt((TableReceipt("messages", 12, 3, 1, 400, ()), TableReceipt("users", 0, 2, 0, 0, ())))
    assert receipt_text(receipt, since=BEGAN) == (
        "since 2026-11-23 03:04 UTC "
        "12 rows inserted, 5 updated, 1 deleted, and 400 by the revisions: messages +12 ~3 -1, users +0 ~2 -0"
    )
    unclear = Receipt((TableReceipt("messages", 1, 0, 0, 0, (), unclear=7),))
    assert receipt_text(unclear, since=BEGAN) == (
        "since 2026-11-23 03:04 UTC "
        "1 rows inserted, 0 updated, 0 deleted, and 7 by the revisions or by users, which cannot be told"
        ": messages +1 ~0 -0"
    )
    untold = Receipt((TableReceipt("tags", 0, 0, 0, 0, (), note="it is gone"),), note="r2 is not told")
    assert receipt_text(untold, since=BEGAN).endswith("deleted: tags +0 ~0 -0; tags: it is gone; r2 is not told")
    nothing = "since 2026-11-23 03:04 UTC 0 rows inserted, 0 updated, 0 deleted"
    assert receipt_text(Receipt(()), since=BEGAN) == nothing
    assert receipt_text(Receipt(()), since=BEGAN, elsewhere=["before-rollback-v3"]) == (
        f"{nothing}; not counted is what other restores have taken since: see before-rollback-v3"
    )


def test_a_message_to_slack_shows_what_is_known_literally_and_leaves_the_rest_out() -> None:
    blocks = message("Release failed", {"Ref": "<v2>", "Commit": ""}, "a & b", "look at <x>")
    assert blocks == [
        {"type": "header", "text": {"type": "plain_text", "text": "Release failed"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Ref*\n&lt;v2&gt;"}]},
        {"type": "section", "text": {"type": "mrkdwn", "text": "a &amp; b"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*What to do:* look at &lt;x&gt;"}},
    ]


def test_a_message_keeps_within_what_slack_takes() -> None:
    blocks = message("h" * 200, {f"fact {n}": "v" * 3000 for n in range(12)}, "t" * 5000, "")
    fields = [block["fields"] for block in blocks if "fields" in block]
    assert [len(field) for field in fields if isinstance(field, list)] == [10, 2]
    texts = re.findall(r'"text": "([^"]*)"', json.dumps(blocks))
    assert {len(json.loads(f'"{text}"')) for text in texts} == {150, 2000, 3000}


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (119.94, "119.9 s"), (120, "2 min 0 s"), (3725, "62 min 5 s")]
)
def test_durations_read_well(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def told(deployment: str | None, *, maintenance: bool | None = False, rolled_back: bool = False) -> str:
    failed = [
        Step("1", "x", 1, "migrate production", "done", BEGAN, {}),
        Step("2", "x", 2, "promote", "begun", BEGAN + timedelta(seconds=5), {"deployment": "dpl_new"}),
        Step("3", "x", 3, "promote", "done", BEGAN + timedelta(seconds=6), {}),
    ]
    back = [
        Step("4", "y", 1, "maintenance mode on", "begun", BEGAN + timedelta(seconds=8), {"maintenance": True}),
        *(
            [Step("5", "y", 2, "roll back application", "done", BEGAN + timedelta(seconds=20), {})]
            if rolled_back
            else []
        ),
    ]
    return affected_words(failed, [*failed, *back], ProductionState(deployment, (), maintenance, protected=True))


def test_users_whom_the_failed_build_still_serves_are_told_as_affected_since_then() -> None:
    assert told("dpl_new") == "still: the release's build serves since 03:04:10 UTC"


def test_users_whose_writes_are_still_refused_are_told_as_affected_since_then() -> None:
    assert told("dpl_old", maintenance=True) == "still: writes are refused since 03:04:13 UTC"
    assert told("dpl_new", maintenance=True) == (
        "still: the release's build serves since 03:04:10 UTC; still: writes are refused since 03:04:13 UTC"
    )


def test_users_are_affected_until_the_previous_build_serves_again() -> None:
    assert told("dpl_old", rolled_back=True) == "20.0 s"


def test_who_serves_users_is_never_guessed() -> None:
    assert told(None) == "whether the release's build still serves cannot be told; its promotion began 03:04:10 UTC"


def test_users_of_a_production_that_was_not_touched_are_not_affected() -> None:
    production = ProductionState("dpl_old", (), maintenance=False, protected=True)
    assert affected_words([], steps(("snapshot", "done", 0)), production) == "not at all"
