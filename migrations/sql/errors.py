"""What goes wrong while statements are read."""

from __future__ import annotations

from migrations.disclosure.sentences import sentence
from migrations.errors import MigrationError


class SqlUnreadable(MigrationError):
    """PostgreSQL's parser refuses a statement.

    Attributes:
        file: where it stands.
        line: at which line, from 1.
    """

    def __init__(self, file: str, line: int, message: str, statement: str) -> None:
        self.file = file
        self.line = line
        where = f" in: {statement}" if statement else ""
        super().__init__(f"{file or 'statement'}:{line}: {sentence(message + where)} Nothing of it could be judged")
