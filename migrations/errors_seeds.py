"""What keeps rows from being seeded.

```
MigrationError
├── SeedRefused                 a database that must not be seeded
└── NothingToSeed               none of the tables is there
```
"""

from migrations.errors import MigrationError


class SeedRefused(MigrationError):
    """A database that must not be seeded."""


class NothingToSeed(MigrationError):
    """None of the tables that would be seeded is there."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} has no table that could be seeded: apply the revisions first")
