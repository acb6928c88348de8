import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from deployments.slack import Slack

Serve = Callable[[Callable[[Any], tuple[int, str] | tuple[int, str, dict[str, str]]]], str]
PATH = "/services/T1/B1/secret-7b7b"
BLOCK = {"type": "section", "text": {"type": "mrkdwn", "text": "*done*"}}


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the SDK would have waited."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


class Channel:
    """A webhook that answers in turn; the last answer again and again."""

    def __init__(self, serve: Serve, *answers: tuple[int, str] | tuple[int, str, dict[str, str]]) -> None:
        self.answers = list(answers)
        self.posted: list[dict[str, Any]] = []
        self.slack = Slack(SecretStr(serve(self.answer) + PATH))

    def answer(self, asked: Any) -> tuple[int, str] | tuple[int, str, dict[str, str]]:
        assert (asked.method, asked.path) == ("POST", PATH)
        self.posted.append(json.loads(asked.body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_a_message_is_posted_with_its_blocks(serve: Serve) -> None:
    channel = Channel(serve, (200, "ok"))
    assert channel.slack.post("done", [BLOCK])
    assert channel.posted == [{"text": "done", "blocks": [BLOCK]}]


def test_a_message_without_blocks_is_its_text(serve: Serve) -> None:
    channel = Channel(serve, (200, "ok"))
    assert channel.slack.post("done")
    assert channel.posted == [{"text": "done"}]


def test_more_than_slack_takes_is_left_out(serve: Serve) -> None:
    channel = Channel(serve, (200, "ok"))
    assert channel.slack.post("x" * 5000, [BLOCK] * 60)
    assert (len(channel.posted[0]["text"]), len(channel.posted[0]["blocks"])) == (3000, 50)


def test_a_limit_is_waited_for_as_long_as_slack_asks(serve: Serve, slept: list[float]) -> None:
    channel = Channel(serve, (429, "rate_limited", {"Retry-After": "2"}), (200, "ok"))
    assert channel.slack.post("done")
    assert len(channel.posted) == 2
    assert 2 <= sum(slept) <= 4


def test_a_server_error_is_tried_again(serve: Serve) -> None:
    channel = Channel(serve, (503, ""), (200, "ok"))
    assert channel.slack.post("done")
    assert len(channel.posted) == 2


@pytest.mark.parametrize(("status", "body"), [(404, "no_service"), (403, "invalid_token"), (400, "invalid_blocks")])
def test_a_refusal_is_told_with_its_reason_and_not_repeated(
    serve: Serve, caplog: pytest.LogCaptureFixture, status: int, body: str
) -> None:
    channel = Channel(serve, (status, body))
    assert not channel.slack.post("release r1 is done")
    assert len(channel.posted) == 1
    assert f"Slack refused ({status} {body}): release r1 is done" in caplog.text


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "name.invalid", "[bad"])
def test_a_dead_address_fails_nothing(host: str, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://{host.format(port=free_port())}{PATH}"
    assert not Slack(SecretStr(url)).post("done")
    assert "Slack was not told" in caplog.text


def test_the_address_is_in_no_log_record_or_repr(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for slack in (
        Channel(serve, (200, "ok")).slack,
        Channel(serve, (429, "rate_limited", {"Retry-After": "1"}), (404, "no_service")).slack,
        Slack(SecretStr(f"http://127.0.0.1:{free_port()}{PATH}")),
        Slack(SecretStr(f"http://[bad{PATH}")),
    ):
        slack.post("done")
        assert "secret-7b7b" not in repr(slack)
    assert "secret-7b7b" not in "".join(repr(vars(record)) for record in caplog.records) + caplog.text
    assert "secret-7b7b" not in "".join(capfd.readouterr())
