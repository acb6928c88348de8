"""What keeps rows from being seeded.

```
MigrationError
├── SeedRefused                 a database that must not be seeded
├── NothingToSeed               none of the tables is there
└── NoKeysToSeedWith            rows have values for encrypted columns, and there are no keys
```
"""

from collections.abc import Sequence

from migrations.errors import MigrationError


class SeedRefused(MigrationError):
    """A database that must not be seeded."""


class NothingToSeed(MigrationError):
    """None of the tables that would be seeded is there."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} has no table in its schema public that could be seeded: apply the revisions first. Where they "
            "were applied and a search_path of the role or the database led them to another schema, take it away "
            "(`ALTER ROLE … RESET search_path`) and build the database anew with `pilotage reset`"
        )


class NoKeysToSeedWith(MigrationError):
    """Rows have values for encrypted columns, and there are no keys."""

    def __init__(self, tables: Sequence[str]) -> None:
        self.tables = tuple(tables)
        super().__init__(
            f"columns of {', '.join(tables)} are encrypted, and ENCRYPTION_KEYS is not set: set it to dev: and what "
            "`openssl rand -base64 32` prints, and keep it, since nothing else reads these rows"
        )
