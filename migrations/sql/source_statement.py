"""A statement as it will be sent, and where it was read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceStatement:
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
