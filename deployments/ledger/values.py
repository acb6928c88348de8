"""What the ledger keeps, as values: releases, their steps, the catalogue recorded after a release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

EndState = Literal["succeeded", "rolled_back", "failed", "undecided"]
ReleaseState = Literal["running", "succeeded", "rolled_back", "failed", "undecided", "abandoned"]
StepEvent = Literal["begun", "done", "failed", "noted"]
MessageState = Literal["waiting", "sent", "refused", "too old"]


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a target, as the ledger has it.

    Attributes:
        holder: The process that runs it, as `host:pid:start`.
        lease_expires_at: Until when the holder is taken to be alive unless it renews.
        ended_at: None while it runs.
        summary: What became of it, in one line; empty while it runs.
        fence: The number of the lease: it rises when another process takes the release over, and whoever holds an
            older one may change nothing more.
    """

    id: str
    target: str
    ref: str
    commit_sha: str
    target_revision: str
    requested_by: str
    flow_run_id: str | None
    holder: str
    state: ReleaseState
    lease_expires_at: datetime
    started_at: datetime
    ended_at: datetime | None
    summary: str
    fence: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a release's record; written once, never changed."""

    id: str
    release_id: str
    seq: int
    step: str
    event: StepEvent
    at: datetime
    details: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class RecordedCatalog:
    """The catalogue of an environment as a release left it.

    Attributes:
        release_id: None where no release of ours left it so.
        revision: None where no revision is applied.
        catalog_json: The catalogue as it was given, byte for byte.
    """

    target: str
    environment: str
    release_id: str | None
    revision: str | None
    digest: str
    catalog_json: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """What the channel is told, as it is sent.

    Attributes:
        release_id: The release that it tells of; None where it tells of none.
        text: What a notification shows.
        blocks: The blocks of the message; none where the text is all of it.
        at: When it was to be told.
        state: `waiting` until the channel takes it; `refused` and `too old` are never sent.
        sent_at: When the channel took it; None where it did not.
    """

    id: str
    target: str
    release_id: str | None
    text: str
    blocks: Sequence[Mapping[str, Json]]
    at: datetime
    state: MessageState
    sent_at: datetime | None
