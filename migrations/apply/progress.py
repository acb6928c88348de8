"""What is told while revisions are applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from migrations.errors import Session

Kind = Literal["applied", "lock timeout", "waiting", "ended", "building", "resumed"]


@dataclass(frozen=True)
class Progress:
    """What happened to a revision.

    Attributes:
        kind: `applied`; `lock timeout` (it will be tried again); `waiting` for sessions that hold what it needs,
            without a place in the queue; `ended`, sessions that sat idle in its way; `building`, an index;
            `resumed`, what an earlier try has left is gone on from.
        revision: its id.
        attempt: which try it was.
        elapsed_s: seconds since its first try.
        sessions: who stands in the way, or was ended.
        detail: what is waited for, or how far a build has come.
    """

    kind: Kind
    revision: str
    attempt: int
    elapsed_s: float
    sessions: tuple[Session, ...] = ()
    detail: str = ""


OnEvent = Callable[[Progress], None]
