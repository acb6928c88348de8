"""What is wrong with the way to a database; all of it is a MigrationError.

```
MigrationError
├── ThroughPooler               each transaction would be another session
└── DatabaseUnreachable
    └── NoSessionLeft           transient: a connection was let in, and has no session of the server's
```
"""

from __future__ import annotations

from migrations.errors import DatabaseUnreachable, MigrationError


class ThroughPooler(MigrationError):
    """Each transaction would be another session: a pooler in transaction mode stands before the database."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        super().__init__(
            f"{where} is reached through a pooler that gives each transaction another session ({why}): its locks would"
            " stay behind, and its settings would hold for others. Nothing was changed. Take the direct address: on"
            " Neon the same host without -pooler, elsewhere the server's own, or let the pooler work in session mode"
        )


class NoSessionLeft(DatabaseUnreachable):
    """A connection was let in and its first statement is not answered: as a pooler does that has no session left."""

    def __init__(self, where: str, waited_s: float) -> None:
        super().__init__(
            where,
            f"it let a connection in, and answered nothing for {waited_s:g} s. So waits a pooler that has no session"
            " left for it: a command needs several at once. Take the direct address (on Neon the same host without"
            " -pooler, elsewhere the server's own), or let the pooler have more (PgBouncer: pool_size). Where none"
            " stands before it, look whether the server hangs",
        )
