"""What keeps a super admin from being created.

```
MigrationError
├── NotAnAddress                the address is none
└── AnotherRole                 a user of that address exists, with another role
```
"""

from migrations.errors import MigrationError


class NotAnAddress(MigrationError):
    """The address is none."""

    def __init__(self, email: str) -> None:
        super().__init__(f"{email!r} is not an address that mail could reach: write it as name@domain")


class AnotherRole(MigrationError):
    """A user of that address exists, with another role.

    Attributes:
        role: the role that the user has.
    """

    def __init__(self, email: str, role: str, where: str) -> None:
        self.role = role
        super().__init__(
            f"{email} is a user of {where} with the role {role}, and nothing was changed: let a super admin "
            "promote that user in the application, which leaves a trail of its own; or give another address"
        )
