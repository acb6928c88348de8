"""What all mapped tables share.

The application's identifiers are camelCase: an attribute has the name of its column, so that a model reads as its
table does.
"""

import enum
from typing import Any

from sqlalchemy import Enum, ForeignKeyConstraint
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import DeclarativeBase

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
