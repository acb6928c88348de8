"""What goes wrong while statements are judged.

```
MigrationError
├── RevisionUnreadable  a revision's statements cannot be known without running it
└── SquawkUnavailable   squawk is not installed beside this program, or does not answer
```
"""

from __future__ import annotations

from migrations.errors import MigrationError


class RevisionUnreadable(MigrationError):
    """A revision's statements cannot be known without running it."""

    def __init__(self, revision: str, file: str, reason: str) -> None:
        self.revision = revision
        self.file = file
        super().__init__(
            f"{file}: revision {revision} cannot be written as SQL ({reason}); "
            "give --database-url a server where a throwaway database may be made"
        )


class SquawkUnavailable(MigrationError):
    """Squawk is not installed beside this program, or does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"squawk could not be asked ({reason}): install squawk-cli with `make install`")
