"""What files for psql hold beside SQL: its own commands, and the rows of COPY."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migrations.sql.errors import SqlUnreadable

# A command of psql stands at the beginning of a line; `\.` ends the rows of a COPY.
_COMMAND = re.compile(r"\\(?P<name>[A-Za-z_!?]+)(?P<rest>.*)")
_COPY = re.compile(r"COPY\b[^;']*\bFROM\s+STDIN\b[^;]*;\s*", re.IGNORECASE)
# These change how psql speaks, and nothing of the database.
_HARMLESS = frozenset(
    re.findall(
        r"\w+",
        "a C echo encoding errverbose f H pset qecho r reset restrict set t T timing unrestrict unset warn x",
    )
)


def without_psql(text: str, file: str, line: int = 1) -> str:
    """The SQL of a file that psql runs, every statement at its line.

    Args:
        text: what the file holds.
        file: its name.
        line: the line of the file at which the text begins, from 1.

    Raises:
        SqlUnreadable: a command of psql sends SQL that stands elsewhere, or depends on what psql finds.
    """
    return "".join(_lines(text, file, line))


def _lines(text: str, file: str, line: int) -> Iterator[str]:
    rows = False
    open_ = ""
    for number, one in enumerate(text.splitlines(keepends=True), line):
        bare = one.strip()
        command = _COMMAND.match(bare)
        if rows:
            rows = bare != "\\."
            yield _end(one)
        elif command is not None:
            name = command["name"]
            if name not in _HARMLESS:
                raise SqlUnreadable(file, number, f"\\{name} is a command of psql and no SQL: take it out", bare)
            yield _end(one)
        else:
            open_ = (open_ + one).lstrip() if bare and not bare.startswith("--") else open_
            rows = _COPY.fullmatch(open_[open_.rfind(";", 0, len(open_.rstrip()) - 1) + 1 :].lstrip()) is not None
            open_ = "" if bare.endswith(";") else open_
            yield one


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
