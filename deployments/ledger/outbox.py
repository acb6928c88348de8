"""The outbox: what the channel is told goes through the ledger, so that nothing is lost while the channel is away."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol

from deployments.ledger.ledger import Ledger
from deployments.ledger.values import Json, Message

logger = logging.getLogger(__name__)

# What is sent later than this says from when it is.
LATE: Final = timedelta(seconds=60)
TOO_OLD_H: Final = 24.0
# As long as another process is waited for that sends what was kept before.
PATIENCE_S: Final = 20.0
# As long as a backlog may hold up who has something to tell.
BACKLOG_S: Final = 30.0
_NAMED: Final = 10

Sent = Literal["taken", "refused", "away"]


class Channel(Protocol):
    """Whatever takes messages."""

    def send(self, text: str, blocks: Sequence[Mapping[str, Any]] = ()) -> Sent:
        """Send one message.

        Returns:
            `taken`; `refused` where it is the message that is at fault, and `away` where it may be taken later.
        """
        ...


class Outbox:
    """Tells the channel of a target, in order: each message once, and later where the channel is away.

    A message whose taking could not be written down, since the reply or the process was lost, is sent again: the
    channel may be told twice, and never not at all.
    """

    def __init__(self, ledger: Ledger, target: str, channel: Channel) -> None:
        self._ledger = ledger
        self._target = target
        self._channel = channel

    def tell(
        self,
        text: str,
        blocks: Sequence[Mapping[str, Json]] = (),
        *,
        release_id: str | None = None,
        fact: str | None = None,
    ) -> bool:
        """Tell the channel, after what it was not told before.

        Args:
            text: What a notification shows.
            blocks: The blocks of the message.
            release_id: The release that it tells of.
            fact: What it tells, where that is told once.

        Returns:
            Whether the channel was told, now or before.
        """
        kept = self._ledger.keep_message(self._target, text, blocks, release_id=release_id, fact=fact)
        if kept is None:
            return True
        ends = time.monotonic() + PATIENCE_S
        while self.deliver() == "busy" and time.monotonic() < ends:
            time.sleep(0.2)
        return self._ledger.message(kept).state == "sent"

    def deliver(self) -> Literal["done", "busy", "away"]:
        """Send what waits, oldest first, for half a minute at most.

        Returns:
            `away` where the channel takes nothing or time was out, `busy` where another process is at it.
        """
        self._give_up_old()
        ends = time.monotonic() + BACKLOG_S
        while (message := self._ledger.take_message(self._target)) is not None:
            if message == "busy":
                return "busy"
            answer = self._channel.send(*_as_sent(message))
            if answer == "taken":
                self._ledger.message_sent(message.id)
            elif answer == "refused":
                self._give_up(message)
            else:
                self._ledger.message_not_sent(message.id)
                return "away"
            if time.monotonic() > ends:
                return "away"
        return "done"

    def _give_up_old(self) -> None:
        if old := self._ledger.give_up_old_messages(self._target, hours=TOO_OLD_H):
            named = "; ".join(f"{_moment(one.at)}: {one.text}{_of(one)}" for one in old[:_NAMED])
            more = f"; and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
            said = f"Not told in time, and kept in the ledger: {named}{more}"
            self._ledger.keep_message(self._target, said)

    def _give_up(self, message: Message) -> None:
        self._ledger.give_up_message(message.id)
        if message.blocks:
            said = f"Slack refused a message of {_moment(message.at)}, which the ledger keeps: {message.text}"
            self._ledger.keep_message(self._target, f"{said}{_of(message)}", release_id=message.release_id)


def _of(message: Message) -> str:
    return f" (`pilotage ledger {message.release_id}`)" if message.release_id else ""


def _as_sent(message: Message) -> tuple[str, Sequence[Mapping[str, Json]]]:
    """The text and the blocks as they are sent now: what is late says from when it is."""
    if datetime.now(UTC) - message.at < LATE:
        return message.text, message.blocks
    late = f"Told late: this is from {_moment(message.at)}, when Slack did not take it"
    if not message.blocks:
        return f"{late}: {message.text}", ()
    note: Mapping[str, Json] = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{late}.*"}}
    return f"[{_moment(message.at)}] {message.text}", (*message.blocks[:1], note, *message.blocks[1:])


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
