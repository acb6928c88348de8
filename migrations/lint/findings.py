"""What the lint gives: hazards that it saw, and those that somebody takes knowingly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Waiver:
    """A hazard that is taken knowingly.

    Attributes:
        hazard: its id.
        reason: why it may be taken; empty is a mistake, which the lint tells.
        revision: the revision that it holds for; None where it stands in plain SQL.
        file: where it stands.
        line: at which line, from 1.
        covers: the last line that it holds for, in plain SQL; None for all of the revision.
    """

    hazard: str
    reason: str
    revision: str | None = None
    file: str = ""
    line: int = 1
    covers: int | None = None

    @property
    def has_reason(self) -> bool:
        """Whether there is a word in its reason."""
        return any(one.isalnum() for one in self.reason)

    def holds_for(self, finding: Finding) -> bool:
        """Whether it is about that finding."""
        if (self.hazard, self.file, self.revision) != (finding.hazard, finding.file, finding.revision):
            return False
        return self.covers is None or self.line <= finding.line <= self.covers


@dataclass(frozen=True)
class Finding:
    """A hazard that was seen.

    Attributes:
        hazard: its id.
        revision: the revision that has it; None in plain SQL.
        file: where it stands.
        line: at which line, from 1.
        statement: the statement, on one line; empty where the whole revision is meant.
        message: what it does to whom, and what to do instead.
        table: the table that it is about; empty where there is none.
        waived_by: the reason of the waiver that covers it; None where none does.
    """

    hazard: str
    revision: str | None
    file: str
    line: int
    statement: str
    message: str
    table: str = ""
    waived_by: str | None = None
