"""Single variables of a command that does not need all that a release needs."""

import os
from typing import Literal

from dotenv import dotenv_values

from deployments.settings import is_placeholder
from flows.cli.console.command_errors import CommandFailed

Variable = Literal[
    "DATABASE_URL",
    "DATABASE_URL_POOLED",
    "ENCRYPTION_KEYS",
    "NEON_API_KEY",
    "NEON_APP_ROLE",
    "NEON_PROJECT_ID",
    "SUPER_ADMIN_EMAIL",
    "SUPER_ADMIN_NAME",
]


def find_variable(name: Variable) -> str | None:
    """A variable of the environment, else of the file with the settings; None where it is not set, or empty."""
    file = dotenv_values(os.environ.get("PILOTAGE_ENV_FILE", ".env"))
    return os.environ.get(name) or file.get(name) or None


def require_variable(name: Variable, *, instead: str = "") -> str:
    """A variable that must be filled in.

    Args:
        name: the variable.
        instead: what else the person may give.

    Raises:
        CommandFailed: it is not set, or still holds a placeholder; its value is never told.
    """
    found = find_variable(name)
    if found is None or is_placeholder(found):
        what = "is not set" if found is None else "still holds a placeholder"
        also = f", or give {instead}" if instead else ""
        raise CommandFailed(f"{name} {what}: set it in the environment or in the file with the settings{also}")
    return found
