"""A drafted revision as the text of its file, in the manner of those written by hand."""

import re
from collections.abc import Sequence
from typing import Final

from migrations.authoring.drafting.revision_contents import RevisionContent

WIDTH: Final = 120
_INDENT: Final = " " * 4
_TOKEN: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<tag>\$\w*\$).*?(?P=tag)|\s+|[^\s'"$]+|\$""", re.DOTALL)
_BIND: Final = re.compile(r"(?<![:\w\\]):(?=\w)")

_FILE: Final = '''"""{message}

Revision ID: {revision}
Revises:{below_text}
"""

from alembic import op

revision = "{revision}"
down_revision = {below}
branch_labels = None
depends_on = None
phase = "{phase}"
{constants}

def upgrade() -> None:
{up}


def downgrade() -> None:
{down}
'''


def revision_text(content: RevisionContent, *, revision: str, below: Sequence[str], message: str) -> str:
    """The text of a revision's file.

    Args:
        content: what it does.
        revision: its id.
        below: the revisions that it follows; several where it merges them.
        message: what it does, in a line.
    """
    writer = _Writer()
    up = writer.body(content.up, concurrently=content.concurrently)
    down = writer.body(content.down, concurrently=content.concurrently)
    constants = "".join(f"\n{name} = {text}\n" for text, name in writer.constants.items())
    names = ", ".join(f'"{one}"' for one in below)
    return _FILE.format(
        message=_sentence(message),
        revision=revision,
        below=f"({names})" if len(below) > 1 else names or "None",
        below_text=f" {', '.join(below)}" if below else "",
        phase=content.phase,
        constants=constants,
        up=up,
        down=down,
    )


class _Writer:
    """Writes the bodies of both functions; texts that span lines are constants, since indenting would change them."""

    def __init__(self) -> None:
        self.constants: dict[str, str] = {}

    def body(self, statements: Sequence[str], *, concurrently: bool) -> str:
        if not statements:
            return f"{_INDENT}pass"
        if not concurrently:
            return "\n".join(self._call(one, _INDENT) for one in statements)
        inner = "\n".join(self._call(one, _INDENT * 2) for one in statements)
        return f"{_INDENT}with op.get_context().autocommit_block():\n{inner}"

    def _call(self, statement: str, indent: str) -> str:
        sql = _BIND.sub(r"\\:", statement)
        if _spans_lines(sql):
            name = self.constants.setdefault(f'"""\n{_escaped(sql)}\n"""', f"STATEMENT_{len(self.constants) + 1}")
            return f"{indent}op.execute({name})"
        line = f"{indent}op.execute({_quoted(sql)})"
        if "\n" not in sql and len(line) <= WIDTH:
            return line
        inner = indent + _INDENT
        lines = "\n".join(f"{inner}{one}" for one in _wrapped(sql, WIDTH - len(inner)))
        return f'{indent}op.execute(\n{inner}"""\n{_escaped(lines)}\n{inner}"""\n{indent})'


def _sentence(message: str) -> str:
    text = message.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _spans_lines(sql: str) -> bool:
    """Whether a quoted text goes over the end of a line."""
    return any("\n" in found[0] and not found[0].isspace() for found in _TOKEN.finditer(sql))


def _quoted(sql: str) -> str:
    """A Python literal of a line, with as few backslashes as can be."""
    if '"' not in sql:
        return f'"{_backslashed(sql)}"'
    if "'" not in sql:
        return f"'{_backslashed(sql)}'"
    ends = sql.endswith('"')
    return f'"""{_escaped(sql)}"""' if not ends else f"'''{_backslashed(sql)}'''" if "'''" not in sql else repr(sql)


def _backslashed(sql: str) -> str:
    return sql.replace("\\", "\\\\")


def _escaped(sql: str) -> str:
    return _backslashed(sql).replace('"""', '\\"\\"\\"')


def _wrapped(sql: str, width: int) -> list[str]:
    """A statement in lines of a width, broken between words only."""
    lines: list[str] = []
    for line in sql.split("\n"):
        margin = line[: len(line) - len(line.lstrip())]
        deeper, current = f"{margin}  ", ""
        for word in _words(line):
            if current and len(margin) + len(current) + 1 + len(word) > width:
                lines.append(f"{margin}{current}")
                current, margin = word, deeper
            else:
                current = f"{current} {word}" if current else word
        lines.append(f"{margin}{current}")
    return lines


def _words(line: str) -> list[str]:
    """The words of a line; a quoted text is of one word, whatever stands in it."""
    words = [""]
    for found in _TOKEN.finditer(line.strip()):
        if found[0].isspace():
            words.append("")
        else:
            words[-1] += found[0]
    return [word for word in words if word]
