"""What goes wrong while revisions are written, checked, merged or marked.

```
MigrationError
└── ModelsUnbuildable           PostgreSQL refuses what the models say
```
"""

from migrations.errors import MigrationError


class ModelsUnbuildable(MigrationError):
    """PostgreSQL refuses what the models say."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the models cannot be built on an empty database: {reason.strip()}")
