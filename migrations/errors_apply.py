"""What goes wrong while revisions are applied; all of it is a MigrationError.

```
MigrationError
└── StatementTooLong            a statement that stops others ran for longer than it may
```
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.errors import MigrationError


class StatementTooLong(MigrationError):
    """A statement that stops others ran for longer than it may, and was cancelled.

    Attributes:
        revision: the revision.
        statement: the statement.
        limit_ms: how long it might run, the wait for its locks included.
        relations: what it locked meanwhile.
        left_behind: what stands though the revision does not.
    """

    def __init__(
        self, revision: str, statement: str, limit_ms: int, relations: Sequence[str], left_behind: Sequence[str] = ()
    ) -> None:
        self.revision = revision
        self.statement = statement
        self.limit_ms = limit_ms
        self.relations = tuple(relations)
        self.left_behind = tuple(left_behind)
        after = (
            f"It works outside a transaction and left: {', '.join(left_behind)}"
            if left_behind
            else "Its transaction was rolled back; it left nothing"
        )
        super().__init__(
            f"revision {revision} kept {', '.join(relations)} from others for {limit_ms / 1000:g} s and was cancelled"
            f" in: {' '.join(statement.split())[:500]}. {after}. Take the way that holds no lock meanwhile"
            " (pilotage lint names it), or allow it longer (--statement-timeout-s), when nobody has to wait for it"
        )
