"""What keeps a backfill from beginning, or from going on.

```
MigrationError
├── BackfillRefused             it cannot begin, and nothing was changed
├── BackfillChanged             its statement is not the one that a part of the rows went through
├── BackfillLost                its key does not say where it is; the batches before stand
├── BackfillIncomplete          rows are left that its condition still names
├── BackfillStopped             transient: it was stopped between two batches; it goes on from there
└── BackfillUnknown             the database keeps no backfill of that revision
```
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.disclosure.sentences import clause, sentence
from migrations.errors import MigrationError


class BackfillRefused(MigrationError):
    """It cannot begin, and nothing was changed."""

    def __init__(self, table: str, reason: str) -> None:
        self.table = table
        super().__init__(f"the backfill of {table} cannot begin: {clause(reason)}; nothing was changed")


class BackfillChanged(MigrationError):
    """Its statement is not the one that a part of the rows went through."""

    def __init__(self, revision: str, table: str, rows: int) -> None:
        self.revision = revision
        super().__init__(
            f"the backfill of {table} in revision {revision} was edited after {rows} rows had gone through it. Put its"
            f" statement back; or, where it may run over those rows again: pilotage backfill restart {revision}"
        )


class BackfillLost(MigrationError):
    """A key reads otherwise once it was written down, or does not lie above the one before: it cannot go on by it.

    Attributes:
        revision: whose backfill it is.
        rows: rows that it had passed.
    """

    def __init__(self, revision: str, table: str, rows: int, key: Sequence[str]) -> None:
        self.revision = revision
        self.rows = rows
        super().__init__(
            f"the backfill of {table} in revision {revision} stopped after {rows} rows: the next value of its key"
            f" ({', '.join(key)}) reads otherwise once it was written as a text, or does not lie above the one before,"
            " so that rows could be passed over or met twice. Those rows stand; nothing else was changed. Give it"
            " another unique key: op.backfill(..., key=...)"
        )


class BackfillIncomplete(MigrationError):
    """Rows are left that its condition still names.

    Attributes:
        revision: whose backfill it is.
        remaining: how many rows, counted up to a limit.
    """

    def __init__(self, revision: str, table: str, remaining: int, condition: str) -> None:
        self.revision = revision
        self.remaining = remaining
        super().__init__(
            f"the backfill of {table} in revision {revision} went through all rows, and {condition} still names"
            f" {remaining}. Written meanwhile: the revision before must have a trigger or a default that fills them in;"
            f" then pilotage backfill restart {revision}. Where it stays true of rows that are done: verify=False"
        )


class BackfillStopped(MigrationError):
    """It was stopped between two batches; it goes on from there."""

    transient = True

    def __init__(self, revision: str, table: str, rows: int, reason: str) -> None:
        self.revision = revision
        self.rows = rows
        super().__init__(
            f"the backfill of {table} in revision {revision} stopped after {rows} rows: {sentence(reason)} Those"
            " rows stand; applying again goes on after them"
        )


class BackfillUnknown(MigrationError):
    """The database keeps no backfill of that revision."""

    def __init__(self, where: str, revision: str | None, known: Sequence[str]) -> None:
        which = f"of revision {revision}" if revision else "at all"
        there = f"; it keeps {', '.join(known)}" if known else ""
        super().__init__(f"{where} keeps no unfinished backfill {which}{there}")
