"""What goes wrong while the roles beside the owner are made; all of it is a MigrationError.

```
MigrationError
├── RoleRefused                 a name that no role of these may have, or an owner that may not make them
└── RoleKeepsRight              a role has from elsewhere what was to be taken from it
```
"""

from collections.abc import Sequence

from migrations.errors import MigrationError


class RoleRefused(MigrationError):
    """A name that no role of these may have, or an owner that may not make them; nothing was written.

    Attributes:
        role: the role that was to be made or given something.
    """

    def __init__(self, role: str, why: str, instead: str) -> None:
        self.role = role
        super().__init__(f"no rights were given to {role!r}: {why}. Nothing was written; {instead}")


class RoleKeepsRight(MigrationError):
    """A role has from elsewhere what was to be taken from it; nothing was changed.

    Attributes:
        role: the role.
        tables: what it may write still.
    """

    def __init__(self, where: str, role: str, tables: Sequence[str]) -> None:
        self.role = role
        self.tables = tuple(tables)
        super().__init__(
            f"{role} may write {', '.join(tables)} on {where}, which says where the schema stands, by a role that it is"
            " a member of, as its owner, or by a grant that another role made. Nothing was changed; take that away"
            " first (REVOKE, ALTER TABLE … OWNER TO the owner)"
        )
