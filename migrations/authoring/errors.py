"""What goes wrong while revisions are written, checked, merged or marked.

```
MigrationError
├── ModelsUnbuildable           PostgreSQL refuses what the models say
├── DraftUnproven               revisions were drafted, and do not do what they should
├── NotMergeable                heads cannot be made one in the way that was asked for
├── MarkRefused                 a revision cannot be marked, since the database is not what the mark would say
└── ResetRefused                a database that must not be dropped
```
"""

from collections.abc import Sequence

from migrations.errors import MigrationError


class ModelsUnbuildable(MigrationError):
    """PostgreSQL refuses what the models say."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the models cannot be built on an empty database: {reason.strip()}")


class DraftUnproven(MigrationError):
    """Revisions were drafted, and do not do what they should."""

    def __init__(self, why: str, details: Sequence[str] = ()) -> None:
        self.details = tuple(details)
        listed = f": {'; '.join(details)}" if details else ""
        super().__init__(
            f"the drafted revisions {why}{listed}. Nothing was written: make an empty revision (--empty) and write it"
        )


class NotMergeable(MigrationError):
    """Heads cannot be made one in the way that was asked for."""


class MarkRefused(MigrationError):
    """A revision cannot be marked, since the database is not what the mark would say."""

    def __init__(self, revision: str, why: str, details: Sequence[str] = ()) -> None:
        self.revision = revision
        self.why = why
        self.details = tuple(details)
        listed = f": {'; '.join(details)}" if details else ""
        super().__init__(f"{revision} was not marked: {why}{listed}")


class ResetRefused(MigrationError):
    """A database that must not be dropped."""
