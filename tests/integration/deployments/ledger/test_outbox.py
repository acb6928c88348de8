"""Messages that Slack does not take: kept in the ledger, sent later, in order and once."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, update

from deployments.ledger import Ledger, Outbox, schema
from deployments.ledger.outbox import Sent
from deployments.redaction.redactor import learn
from tests.integration.deployments.ledger.test_ledger import begin

BLOCKS = ({"type": "header", "text": {"type": "plain_text", "text": "Release of v2 failed"}},)


class Channel:
    """A channel that takes what it is told, or does not."""

    def __init__(self) -> None:
        self.answer: Sent = "taken"
        self.answers: dict[str, Sent] = {}
        self.told: list[str] = []
        self.blocks: list[Sequence[Mapping[str, Any]]] = []

    def send(self, text: str, blocks: Sequence[Mapping[str, Any]] = ()) -> Sent:
        answer = self.answers.get(text, self.answer)
        if answer == "taken":
            self.told.append(text)
            self.blocks.append(blocks)
        return answer


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"
    return str(request.getfixturevalue("database").owner_dsn)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url) as opened:
        yield opened


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def outbox(ledger: Ledger, channel: Channel) -> Outbox:
    return Outbox(ledger, "shop", channel)


def age(url: str, **span: float) -> None:
    """Let all messages be older than they are."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(update(schema.messages).values(at=datetime.now(UTC) - timedelta(**span)))
    engine.dispose()


def test_a_message_is_sent_at_once_and_stays_in_the_ledger(ledger: Ledger, outbox: Outbox, channel: Channel) -> None:
    release = begin(ledger)
    assert outbox.tell("Release of v2 failed", BLOCKS, release_id=release.id)
    assert channel.told == ["Release of v2 failed"]
    assert channel.blocks == [list(BLOCKS)]
    assert ledger.untold(release.id) == ()
    assert outbox.deliver() == "done"
    assert len(channel.told) == 1


def test_what_was_not_taken_is_shown_and_sent_by_the_next_message_in_order(
    ledger: Ledger, outbox: Outbox, channel: Channel
) -> None:
    release, channel.answer = begin(ledger), "away"
    for text in ("first", "second"):
        assert not outbox.tell(text, release_id=release.id)
    kept = ledger.untold(release.id)
    assert [(one.text, one.state, one.sent_at) for one in kept] == [
        ("first", "waiting", None),
        ("second", "waiting", None),
    ]
    assert outbox.deliver() == "away"
    assert len(ledger.untold(release.id)) == 2
    channel.answer = "taken"
    assert outbox.tell("third")
    assert channel.told == ["first", "second", "third"]
    assert ledger.untold(release.id) == ()


def test_messages_of_another_target_are_not_sent(ledger: Ledger, channel: Channel) -> None:
    ledger.keep_message("elsewhere", "not ours")
    assert Outbox(ledger, "shop", channel).deliver() == "done"
    assert channel.told == []


def test_what_is_sent_late_carries_its_time(url: str, ledger: Ledger, outbox: Outbox, channel: Channel) -> None:
    channel.answer = "away"
    outbox.tell("Rollback of v2 begins", BLOCKS)
    outbox.tell("plain")
    age(url, minutes=10)
    channel.answer = "taken"
    assert outbox.deliver() == "done"
    with_blocks, plain = channel.told
    assert with_blocks.startswith("[20")
    assert with_blocks.endswith(" UTC] Rollback of v2 begins")
    assert plain.startswith("Told late: this is from 20")
    assert plain.endswith("when Slack did not take it: plain")
    (header, note) = channel.blocks[0]
    assert header == BLOCKS[0]
    assert str(note["text"]["text"]).startswith("*Told late: this is from 20")


def test_what_is_older_than_a_day_is_not_sent_but_said_to_be_in_the_ledger(
    url: str, ledger: Ledger, outbox: Outbox, channel: Channel
) -> None:
    release, channel.answer = begin(ledger), "away"
    outbox.tell("Release of v2 failed", BLOCKS, release_id=release.id)
    age(url, hours=24.1)
    channel.answer = "taken"
    assert outbox.tell("Release of v3 succeeded")
    news, notice = channel.told
    assert notice.startswith("Not told in time, and kept in the ledger: 20")
    assert notice.endswith(f": Release of v2 failed (`pilotage ledger {release.id}`)")
    assert news == "Release of v3 succeeded"
    assert [one.state for one in ledger.untold(release.id)] == ["too old"]
    assert outbox.deliver() == "done"
    assert len(channel.told) == 2


def test_a_message_that_is_refused_for_itself_does_not_stop_those_after_it(
    ledger: Ledger, outbox: Outbox, channel: Channel
) -> None:
    release = begin(ledger)
    channel.answers["bad"] = "refused"
    assert not outbox.tell("bad", BLOCKS, release_id=release.id)
    assert outbox.tell("good")
    refused, good = channel.told
    assert refused.startswith("Slack refused a message of 20")
    assert refused.endswith(f", which the ledger keeps: bad (`pilotage ledger {release.id}`)")
    assert good == "good"
    assert [one.state for one in ledger.untold(release.id)] == ["refused"]


def test_a_fact_is_told_once_until_it_is_forgotten(ledger: Ledger, outbox: Outbox, channel: Channel) -> None:
    for _ in range(2):
        assert outbox.tell("maintenance is on", fact="maintenance x")
    assert outbox.tell("another", fact="maintenance y")
    assert channel.told == ["maintenance is on", "another"]
    assert ledger.was_told("shop", "maintenance x")
    ledger.forget_facts("shop", "protection")
    assert ledger.was_told("shop", "maintenance x")
    ledger.forget_facts("shop", "maintenance ")
    assert not ledger.was_told("shop", "maintenance x")
    assert outbox.tell("maintenance is on again", fact="maintenance x")


def test_many_who_tell_one_fact_at_once_tell_it_once(url: str, channel: Channel) -> None:
    with Ledger.open(url) as ledger, ThreadPoolExecutor(max_workers=6) as pool:
        telling = [pool.submit(Outbox(ledger, "shop", channel).tell, "died", fact="died x") for _ in range(6)]
        assert all(one.result() for one in telling)
    assert channel.told == ["died"]


def test_two_who_deliver_at_once_send_each_message_once_and_in_order(
    url: str, ledger: Ledger, channel: Channel
) -> None:
    for number in range(10):
        ledger.keep_message("shop", str(number))
    begin_together = threading.Barrier(2)

    def deliver() -> None:
        with Ledger.open(url) as opened:
            begin_together.wait(30)
            while Outbox(opened, "shop", channel).deliver() == "busy":
                pass

    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(deliver) for _ in range(2)]:
            done.result()
    assert channel.told == [str(number) for number in range(10)]


def test_no_secret_is_kept(ledger: Ledger, outbox: Outbox, channel: Channel) -> None:
    learn(SecretStr("a-secret-of-this-test-7b7b"))
    release, channel.answer = begin(ledger), "away"
    given = [{"type": "section", "text": {"type": "mrkdwn", "text": "it is a-secret-of-this-test-7b7b"}}]
    outbox.tell("a-secret-of-this-test-7b7b", given, release_id=release.id)
    assert "7b7b" not in repr(ledger.untold(release.id))
