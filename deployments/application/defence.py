"""What was seen of a defence from outside."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Defence:
    """What was seen of a defence.

    Attributes:
        holds: whether it stands; None where that could not be told.
        detail: what was looked at, what is wrong, or why it could not be told.
    """

    holds: bool | None
    detail: str
