"""Messages in the ledger: each is kept before it is sent, in order, and a fact is told once."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, Select, insert, select, update

from deployments.ledger import schema
from deployments.ledger.errors import LedgerConflict
from deployments.ledger.releases import release_of
from deployments.ledger.storable_values import storable
from deployments.ledger.store import Store, now
from deployments.ledger.values import Json, Message

_messages = schema.messages
_COLUMNS = [_messages.c[one.name] for one in fields(Message)]
# What a channel takes in 60 s at most is sent within this, or its process has died.
TAKEN_S = 90.0

Busy = Literal["busy"]


class Messages(Store):
    """The messages of a ledger."""

    def keep_message(
        self,
        target: str,
        text: str,
        blocks: Sequence[Mapping[str, Json]] = (),
        *,
        release_id: str | None = None,
        fact: str | None = None,
    ) -> str | None:
        """Keep a message until the channel takes it, without its secrets.

        Args:
            target: The project with its environments whose channel is told.
            text: What a notification shows.
            blocks: The blocks of the message.
            release_id: The release that it tells of.
            fact: What it tells, where that is told once until it is forgotten.

        Returns:
            The message's id; None where the fact was told before.

        Raises:
            ReleaseNotFound: there is no release of that id.
        """
        key = str(uuid4())
        row = {"id": key, "target": target, "release_id": release_id, "fact": fact, "state": "waiting"}
        row |= {"text": storable(text), "blocks": storable(blocks)}

        def keep(connection: Connection) -> str | None:
            if connection.execute(select(_messages.c.id).where(_messages.c.id == key)).one_or_none():
                return key
            if release_id is not None:
                release_of(connection, release_id)
            told = select(_messages.c.id).where(_messages.c.target == target, _messages.c.fact == fact)
            if fact is not None and connection.execute(told).one_or_none():
                return None
            connection.execute(insert(_messages).values(**row, at=now(connection)))
            return key

        try:
            return self._write(keep)
        except LedgerConflict:
            # Another process told the same fact in this moment.
            return self._write(keep)

    def was_told(self, target: str, fact: str) -> bool:
        """Whether a fact was told, or is about to be."""
        query = select(_messages.c.id).where(_messages.c.target == target, _messages.c.fact == fact)
        return self._read(lambda connection: connection.execute(query).one_or_none()) is not None

    def forget_facts(self, target: str, prefix: str) -> None:
        """Let facts be told again: what they tell went away, and is news when it returns.

        Args:
            target: The project with its environments.
            prefix: How these facts begin.
        """
        told = (_messages.c.target == target, _messages.c.fact.startswith(prefix, autoescape=True))

        def forget(connection: Connection) -> None:
            if connection.execute(select(_messages.c.id).where(*told).limit(1)).one_or_none():
                connection.execute(update(_messages).where(*told).values(fact=None))

        self._write(forget)

    def message(self, message_id: str) -> Message:
        """One message."""
        query = select(*_COLUMNS).where(_messages.c.id == message_id)
        return _message(self._read(lambda connection: connection.execute(query).mappings().one()))

    def newest_message(self, target: str) -> Message | None:
        """The message of a target that was kept last, whatever became of it; None where there was none."""
        query = select(*_COLUMNS).where(_messages.c.target == target).order_by(_messages.c.at.desc()).limit(1)
        row = self._read(lambda connection: connection.execute(query).mappings().one_or_none())
        return None if row is None else _message(row)

    def untold(self, release_id: str) -> tuple[Message, ...]:
        """The messages of a release that the channel has not taken, in their order."""
        query = _in_order(_messages.c.release_id == release_id, _messages.c.state != "sent")
        rows = self._read(lambda connection: connection.execute(query).mappings().all())
        return tuple(_message(row) for row in rows)

    def take_message(self, target: str) -> Message | Busy | None:
        """Take the oldest message that waits, to send it: nobody else does so for 90 s, or until it is settled.

        Returns:
            The message; `busy` where another process sends it; None where none waits.
        """
        key = str(uuid4())

        def take(connection: Connection) -> Message | Busy | None:
            oldest = _in_order(_messages.c.target == target, _messages.c.state == "waiting").limit(1)
            query = oldest.add_columns(_messages.c.taken_by, _messages.c.taken_until).with_for_update()
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            if row["taken_by"] != key and row["taken_until"] is not None and row["taken_until"] > now(connection):
                return "busy"
            until = now(connection) + timedelta(seconds=TAKEN_S)
            _set(connection, row["id"], taken_by=key, taken_until=until)
            return _message(row)

        return self._write(take)

    def message_sent(self, message_id: str) -> None:
        """Write that the channel took a message."""
        self._write(lambda connection: _set(connection, message_id, state="sent", sent_at=now(connection)))

    def message_not_sent(self, message_id: str) -> None:
        """Let a message wait for the next try."""
        self._write(lambda connection: _set(connection, message_id, taken_by=None, taken_until=None))

    def give_up_message(self, message_id: str) -> None:
        """Write that the channel will not take a message as it is."""
        self._write(lambda connection: _set(connection, message_id, state="refused"))

    def give_up_old_messages(self, target: str, *, hours: float) -> tuple[Message, ...]:
        """Give up what has waited for too long to be news.

        Returns:
            The messages that this call gave up, in their order.
        """
        given_up: dict[str, Message] = {}

        def give_up(connection: Connection) -> None:
            before = now(connection) - timedelta(hours=hours)
            waiting = (_messages.c.target == target, _messages.c.state == "waiting", _messages.c.at < before)
            for row in connection.execute(_in_order(*waiting)).mappings().all():
                given_up[row["id"]] = _message(row)
                _set(connection, row["id"], state="too old")

        self._write(give_up)
        return tuple(given_up.values())


def _in_order(*conditions: Any) -> Select[Any]:
    return select(*_COLUMNS).where(*conditions).order_by(_messages.c.number)


def _set(connection: Connection, message_id: str, **values: Any) -> None:
    connection.execute(update(_messages).where(_messages.c.id == message_id).values(**values))


def _message(row: RowMapping) -> Message:
    return Message(**{one.name: row[one.name] for one in fields(Message)})
