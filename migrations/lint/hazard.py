"""A hazard as a record: its rule, its page of the documentation and its test are made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from migrations.sql.database_context import DatabaseContext
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name
from migrations.sql.statements import Statement

Concern = Literal["large", "live", "any"]


class _Spoken(dict[str, str]):
    """Names for a text; what is not known is said in general."""

    def __missing__(self, key: str) -> str:
        return {"table": "the table", "column": "the column", "name": "it", "detail": ""}.get(key, key)


@dataclass(frozen=True)
class Subject:
    """What a rule saw in a statement.

    Attributes:
        table: the table that it is about; None where there is none.
        column: the column, or columns.
        name: the index, constraint, type or other object.
        detail: what else the text of the hazard wants to say.
    """

    table: Name | None = None
    column: str = ""
    name: str = ""
    detail: str = ""

    def speak(self, text: str) -> str:
        """Put the names into a text."""
        named = {"table": str(self.table or ""), "column": self.column, "name": self.name, "detail": self.detail}
        return text.format_map(_Spoken({key: given for key, given in named.items() if given}))


Rule = Callable[[Statement, DatabaseState], Iterable[Subject]]
Unless = Callable[[Statement, DatabaseState], bool]


@dataclass(frozen=True)
class Hazard:
    """Something that goes wrong on a live database.

    Attributes:
        id: its name, in kebab-case: what a waiver says.
        condition: when it is one.
        effect: what it does to whom; `{table}`, `{column}`, `{name}` and `{detail}` stand for what was seen.
        safe: what to do instead, with the same names.
        bad: an example that has it.
        good: the same done safely, which has no hazard at all.
        concern: `large` where it falls silent on small tables and on those made in the same plan, `live` where it
            falls silent on the latter alone, `any` where the table makes no difference.
        rule: what sees it; None where squawk does, or where it is seen in the revision's file.
        squawk: rules of squawk that see it.
        unless: what squawk cannot know, and what makes it none.
        language: of the examples.
        example: what is seen in the bad example, where it is one of Python.
        known: what has to be known of the database before the examples; nothing where it is None.
    """

    id: str
    condition: str
    effect: str
    safe: str
    bad: str
    good: str
    concern: Concern = "large"
    rule: Rule | None = None
    squawk: tuple[str, ...] = ()
    unless: Unless | None = None
    language: Literal["sql", "python"] = "sql"
    known: DatabaseContext | None = None
    example: Subject | None = None

    def message(self, subject: Subject) -> str:
        """What it does here, and what to do instead."""
        return f"{subject.speak(self.effect)} {subject.speak(self.safe)}"
