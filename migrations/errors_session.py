"""What is wrong with the way to a database; all of it is a MigrationError.

```
MigrationError
└── ThroughPooler               each transaction would be another session
```
"""

from __future__ import annotations

from migrations.errors import MigrationError


class ThroughPooler(MigrationError):
    """Each transaction would be another session: a pooler in transaction mode stands before the database."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        super().__init__(
            f"{where} is reached through a pooler that gives each transaction another session ({why}): its locks would"
            " stay behind, and its settings would hold for others. Nothing was changed. Take the direct address: on"
            " Neon the same host without -pooler, elsewhere the server's own, or let the pooler work in session mode"
        )
