"""What the lint takes and gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LintedStatement:
    """SQL that will be sent at once.

    Attributes:
        sql: one or several statements.
        revision: the revision, or section of a file, that sends it; None where the file is all there is.
        file: where it was read.
        line: the line of `file` at which `sql` begins, from 1.
        transaction: the transaction that it runs in, by a number of the caller's; None outside of one.
        phase: expand or contract; None where it does not say.
        existing_type: the type that the revision says a column has whose type it changes; empty where it does not say.
    """

    sql: str
    revision: str | None = None
    file: str = ""
    line: int = 1
    transaction: int | None = None
    phase: str | None = None
    existing_type: str = ""

    @property
    def step(self) -> tuple[str, str]:
        """The revision, or the part of a file, that is released as one."""
        return self.file, self.revision or ""


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
    def says_why(self) -> bool:
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


@dataclass(frozen=True)
class Thresholds:
    """From when on a table is large, or busy.

    Attributes:
        rows: rows from which on a table is large.
        size_bytes: bytes from which on a table is large, its indexes included.
        writes: rows written since the statistics were reset, from which on a table is hot.
        calls: calls of one statement since the statistics were reset, from which on its tables are hot.
        key_used: part of an integer key's range from which on it is about to run out.
    """

    rows: int = 10_000
    size_bytes: int = 10 * 1024 * 1024
    writes: int = 10_000
    calls: int = 10_000
    key_used: float = 0.6
