"""The syntax of a Prisma schema: names, strings, blocks, and aligned lines."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_INDENT = "  "


@dataclass(frozen=True)
class Unexpressed:
    """Something of the database that a Prisma schema cannot express.

    Attributes:
        table: the table that it belongs to; empty for what belongs to none.
        what: its kind and name.
        detail: what it says.
    """

    table: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        place = f"{self.table}: " if self.table else ""
        return f"{place}{self.what}{': ' + self.detail if self.detail else ''}"


@dataclass(frozen=True)
class Field:
    """A line of a model.

    Attributes:
        notes: what is said above it.
    """

    name: str
    type: str
    attributes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def identifier(name: str) -> str:
    """The name by which Prisma knows something whose name in the database it may not allow."""
    if _NAME.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return plain if _NAME.fullmatch(plain) else f"x{plain}"


def quoted(text: str) -> str:
    """A string, as Prisma writes it."""
    return json.dumps(text, ensure_ascii=False)


def mapped(name: str, wanted: str) -> tuple[str, ...]:
    """What says that the database has another name for something."""
    return () if name == wanted else (f"@map({quoted(wanted)})",)


def one_line(text: str) -> str:
    """A text without line breaks, for a comment."""
    return " ".join(text.split())


def lower_first(name: str) -> str:
    """A class's name as the name of a field."""
    return name[:1].lower() + name[1:]


def columns(fields: Iterable[Field]) -> Iterator[str]:
    """Fields as lines, their types and attributes one under another."""
    every = tuple(fields)
    names = max((len(field.name) for field in every), default=0)
    types = max((len(field.type) for field in every), default=0)
    for field in every:
        yield from (f"{_INDENT}/// {one_line(note)}" for note in field.notes)
        line = f"{field.name:<{names}} {field.type:<{types}} {' '.join(field.attributes)}"
        yield f"{_INDENT}{line.rstrip()}"


def block(kind: str, name: str, body: Iterable[str], notes: Iterable[str] = ()) -> str:
    """A named block with its lines."""
    head = "".join(f"/// {one_line(note)}\n" for note in notes)
    return f"{head}{kind} {name} {{\n" + "".join(f"{line}\n" for line in body) + "}\n"


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Lines within a block."""
    return (f"{_INDENT}{line}" for line in lines)
