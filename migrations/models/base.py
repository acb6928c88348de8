"""What all mapped tables share.

The application's identifiers are camelCase: an attribute has the name of its column, so that a model reads as its
table does.
"""

import enum
from typing import Any

from sqlalchemy import Enum, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Relationship, relationship

Json = dict[str, Any] | list[Any]
Timestamp = TIMESTAMP(precision=3)


class Base(DeclarativeBase):
    """The declarative base of the application's tables."""


def enum_type(labels: type[enum.StrEnum]) -> Enum:
    """The type of a column that holds one of an enum's labels; its name in the database is the class's."""
    return Enum(labels, name=labels.__name__)


def reference(name: str, column: str, to: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """A foreign key of one column, which follows its target's updates."""
    return ForeignKeyConstraint([column], [to], name=name, ondelete=ondelete, onupdate="CASCADE")


def searched(name: str, column: str, language: str) -> Index:
    """An index for what is searched by its words, in a language that PostgreSQL has a configuration for."""
    return Index(name, text(f"to_tsvector('{language}', \"{column}\")"), postgresql_using="gin")


def children(parent: str) -> Relationship[Any]:
    """The rows that reference this one; what becomes of them when it is deleted is the database's to say.

    Args:
        parent: the attribute of theirs that leads back here.
    """
    return relationship(back_populates=parent, passive_deletes="all")
