"""What counts as one fact told twice."""

import pytest

from tests.told_once import assert_told_once


def message(text: str, **ids: str) -> dict[str, object]:
    fields = [{"type": "mrkdwn", "text": f"*{label}*\n{value}"} for label, value in ids.items()]
    return {"text": text, "blocks": [{"type": "header"}, {"type": "section", "fields": fields}]}


@pytest.mark.parametrize(
    "told",
    [
        ["Release of v2 failed", "Release of v2 is held for a person"],
        ["Release of v2 failed", "Release of v2 did not start"],
        ["Release of v2 was rolled back", "Release of v2 was rolled back"],
        ["Release of v2 succeeded", "[2026-11-28 03:04:05 UTC] Release of v2 succeeded"],
    ],
)
def test_a_fact_that_two_messages_tell_is_told_twice(told: list[str]) -> None:
    with pytest.raises(AssertionError, match="told more than once"):
        assert_told_once(message(text, Release="r1") for text in told)


def test_what_a_release_its_recoveries_and_its_rollbacks_tell_is_told_once() -> None:
    messages = [
        message("Release of v2 failed", Release="r1"),
        message("Recovery of v2 begins", Release="r1"),
        message("Recovery of v2 begins", Release="r1"),
        message("Rollback of v2 failed: a person is needed", Release="r1"),
        message("Rollback of v2 begins", Release="r1", Rollback="r2"),
        message("Release of v2 was rolled back", Release="r1", Rollback="r2"),
        message("Drift in production", Environment="production"),
        message("Drift in production", Environment="production"),
    ]
    assert_told_once(messages)
    assert_told_once([*messages, messages[-3]], sent_again=True)
