"""The smallest changes that a revision is written of: each with its downgrade, its phase and its place in the order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Literal

from migrations.authoring.drafting.names import last, parent
from migrations.authoring.drafting.source_text import Key, as_written
from migrations.catalog.contents import Catalog, Difference, difference

Phase = Literal["expand", "contract"]


class Rank(IntEnum):
    """The order of changes: an object is created before those that depend on it, and dropped after them."""

    LABEL = 0
    DROP_VIEW = 10
    DROP_POLICY = 11
    DROP_TRIGGER = 12
    DROP_FOREIGN_KEY = 13
    DROP_CONSTRAINT = 14
    DROP_INDEX = 15
    SCHEMA = 20
    TYPE = 21
    SEQUENCE = 22
    FUNCTION = 23
    TABLE = 30
    COLUMN = 31
    SQL_FUNCTION = 32
    CONSTRAINT = 40
    FOREIGN_KEY = 41
    INDEX = 42
    VIEW = 43
    TRIGGER = 44
    POLICY = 45
    TABLE_SETTING = 46
    COMMENT = 50
    GRANT = 51
    VALIDATE = 55
    DROP_COLUMN = 60
    DROP_TABLE = 61
    DROP_FUNCTION = 62
    DROP_SEQUENCE = 63
    DROP_TYPE = 64
    DROP_SCHEMA = 65


@dataclass(frozen=True)
class SchemaChange:
    """One change of the schema.

    Attributes:
        rank: when it comes.
        up: the statements that make it.
        down: the statements of its downgrade, in the order in which they run.
        phase: whether the application that runs now goes on working.
        alone: whether it needs a revision of its own: `concurrently` outside a transaction, `validate` after the
            revision that it validates, `label` before one that uses it.
        subject: what it changes.
    """

    rank: Rank
    up: tuple[str, ...]
    down: tuple[str, ...]
    phase: Phase = "expand"
    alone: Literal["", "concurrently", "validate", "label"] = ""
    subject: str = ""


def schema_change(
    rank: Rank,
    up: str | Sequence[str],
    down: str | Sequence[str],
    *,
    phase: Phase = "expand",
    alone: Literal["", "concurrently", "validate", "label"] = "",
    subject: str = "",
) -> SchemaChange:
    """A change of one statement, or of several, each way."""
    return SchemaChange(rank, _several(up), _several(down), phase, alone, subject)


def reverse(of: SchemaChange, rank: Rank, phase: Phase = "expand") -> SchemaChange:
    """The change that takes another one back."""
    return SchemaChange(rank, of.down, of.up, phase, "" if of.alone == "validate" else of.alone, of.subject)


@dataclass(frozen=True)
class Comparison:
    """Two catalogues, and what one needs to know of both to get from the first to the second.

    Attributes:
        before: what the revisions build.
        after: what the models say.
        column_order: the columns of a table in the order in which the models name them, by the table's name.
        owner: the role that both were built by, as it is quoted.
        written_before: definitions of the first as somebody wrote them.
        written_after: definitions of the second as somebody wrote them.
    """

    before: Catalog
    after: Catalog
    column_order: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    owner: str = ""
    written_before: Mapping[Key, str] = field(default_factory=dict[Key, str])
    written_after: Mapping[Key, str] = field(default_factory=dict[Key, str])

    @cached_property
    def first(self) -> Catalog:
        """The first catalogue, in the words that made it where they are known."""
        return as_written(self.before, self.written_before)

    @cached_property
    def second(self) -> Catalog:
        """The second catalogue, in the words that made it where they are known."""
        return as_written(self.after, self.written_after)

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """All that differs; by what PostgreSQL says, told in the words that made it."""
        return tuple(
            replace(
                one,
                before=None if one.before is None else self.first.by_name[one.kind, one.name].definition,
                after=None if one.after is None else self.second.by_name[one.kind, one.name].definition,
            )
            for one in difference(self.before, self.after)
        )

    @cached_property
    def added_tables(self) -> frozenset[str]:
        """Tables that only the second has."""
        return frozenset(one.name for one in self.differences if (one.kind, one.change) == ("table", "added"))

    @cached_property
    def removed_tables(self) -> frozenset[str]:
        """Tables that only the first has."""
        return frozenset(one.name for one in self.differences if (one.kind, one.change) == ("table", "removed"))

    @cached_property
    def added_columns(self) -> frozenset[str]:
        """Columns that only the second has."""
        return frozenset(one.name for one in self.differences if (one.kind, one.change) == ("column", "added"))

    def of_kind(self, *kinds: str) -> tuple[Difference, ...]:
        """What differs in objects of these kinds."""
        return tuple(one for one in self.differences if one.kind in kinds)

    def comes_with_a_table(self, table: str) -> bool:
        """Whether the table is made by the same change."""
        return table in self.added_tables

    def goes_with_a_table(self, table: str) -> bool:
        """Whether the table is dropped by the same change."""
        return table in self.removed_tables


def replaced(dropped: SchemaChange | None, created: SchemaChange | None) -> Iterable[SchemaChange]:
    """Drop an object and create it again in one phase, so that it is missing for no longer than needed."""
    both = [one for one in (dropped, created) if one is not None]
    contracts = any(one.phase == "contract" for one in both)
    return (replace(one, phase="contract" if contracts else one.phase) for one in both)


def columns_of(catalog: Catalog, table: str) -> dict[str, str]:
    """The definitions of a table's columns, by the column's name as it is quoted."""
    return {last(one.name): one.definition for one in catalog.of_kind("column") if parent(one.name) == table}


def _several(statements: str | Sequence[str]) -> tuple[str, ...]:
    return ((statements,) if statements else ()) if isinstance(statements, str) else tuple(statements)
