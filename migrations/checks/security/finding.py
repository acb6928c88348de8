"""What a check of security found: a line of the checklist, and whether it holds."""

import enum
from dataclasses import dataclass, field


class State(enum.StrEnum):
    """Whether a line of the checklist holds."""

    HOLDS = "holds"
    BROKEN = "broken"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Finding:
    """What was found about one line of the checklist.

    Attributes:
        line: the line.
        state: whether it holds.
        detail: what is wrong, why it could not be told, or what was looked at.
    """

    line: str
    state: State
    detail: str


@dataclass
class Observations:
    """What a check observed about a line of the checklist, for and against it.

    Attributes:
        wrong: what violates it.
        unknown: what could not be told, and why.
        good: what was found to be as it must be.
    """

    wrong: list[str] = field(default_factory=list[str])
    unknown: list[str] = field(default_factory=list[str])
    good: list[str] = field(default_factory=list[str])

    def add(self, other: "Observations") -> None:
        """Take over what another check observed."""
        self.wrong += other.wrong
        self.unknown += other.unknown
        self.good += other.good

    def finding(self, line: str) -> Finding:
        """The finding: broken by the first wrong, told only where nothing is unknown."""
        if self.wrong:
            return Finding(line, State.BROKEN, "; ".join((*self.wrong, *self.unknown)))
        if self.unknown:
            return Finding(line, State.CANNOT_TELL, "; ".join(self.unknown))
        return Finding(line, State.HOLDS, "; ".join(self.good))
