"""Types and defaults of columns, in Prisma's words.

Source: Prisma's reference of native types of its PostgreSQL connector.
"""

import re
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import DefaultClause, types
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import Column

from migrations.prisma._syntax import identifier, quoted

_STRING = re.compile(r"'((?:[^']|'')*)'(?:::[\w\s\"().]+)?", re.DOTALL)
_NUMBER = re.compile(r"\(?(-?\d+(?:\.\d+)?)\)?(?:::[\w\s]+)?")
_NOW = {"current_timestamp", "now()", "current_timestamp(3)", "localtimestamp"}

_PLAIN: tuple[tuple[type[types.TypeEngine[Any]], str, str], ...] = (
    # What is a kind of another one goes before it.
    (types.Uuid, "String", "@db.Uuid"),
    (types.Text, "String", "@db.Text"),
    (postgresql.CITEXT, "String", "@db.Citext"),
    (postgresql.INET, "String", "@db.Inet"),
    (postgresql.JSONB, "Json", "@db.JsonB"),
    (types.JSON, "Json", "@db.Json"),
    (types.Boolean, "Boolean", ""),
    (types.SmallInteger, "Int", "@db.SmallInt"),
    (types.BigInteger, "BigInt", ""),
    (types.Integer, "Int", ""),
    (types.REAL, "Float", "@db.Real"),
    (types.Float, "Float", ""),
    (types.Date, "DateTime", "@db.Date"),
    (types.LargeBinary, "Bytes", ""),
)


@dataclass(frozen=True)
class PrismaType:
    """A type, and the attribute that says which of PostgreSQL's it is."""

    name: str
    attribute: str = ""

    @property
    def supported(self) -> bool:
        """Whether the client can read and write it."""
        return not self.name.startswith("Unsupported")


def prisma_type(of: types.TypeEngine[Any]) -> PrismaType:
    """The type of a column."""
    if isinstance(of, types.Enum):
        return PrismaType(identifier(of.name)) if of.name else PrismaType("String", "@db.Text")
    if isinstance(of, types.ARRAY):
        inner = prisma_type(cast("types.ARRAY[Any]", of).item_type)
        return PrismaType(f"{inner.name}[]", inner.attribute)
    if (sized := _sized(of)) is not None:
        return sized
    for kind, name, attribute in _PLAIN:
        if isinstance(of, kind):
            return PrismaType(name, attribute)
    if isinstance(of, types.String):
        return PrismaType("String", f"@db.{_counted('Char' if isinstance(of, types.CHAR) else 'VarChar', of.length)}")
    return PrismaType(f"Unsupported({quoted(of.compile(dialect=postgresql.dialect()))})")


def _sized(of: types.TypeEngine[Any]) -> PrismaType | None:
    precision: int | None = getattr(of, "precision", None)
    if isinstance(of, types.DateTime):
        return PrismaType("DateTime", f"@db.{_counted('Timestamptz' if of.timezone else 'Timestamp', precision)}")
    if isinstance(of, types.Time):
        return PrismaType("DateTime", f"@db.{_counted('Timetz' if of.timezone else 'Time', precision)}")
    if isinstance(of, types.Numeric) and not isinstance(of, types.Float):
        counts = "" if of.precision is None else f"({of.precision}, {of.scale or 0})"
        return PrismaType("Decimal", f"@db.Decimal{counts}")
    return None


def default_of(column: Column[Any], of: PrismaType) -> str | None:
    """The attribute for the default that the database fills in; None where it fills in none."""
    if column.identity is not None:
        return "@default(autoincrement())"
    clause = column.server_default
    if not isinstance(clause, DefaultClause):
        return None
    given = str(getattr(clause.arg, "text", clause.arg)).strip()
    return f"@default({_value(given, column, of)})"


def _value(given: str, column: Column[Any], of: PrismaType) -> str:
    if of.name == "DateTime" and given.lower() in _NOW:
        return "now()"
    if given.lower() in {"true", "false"} and of.name == "Boolean":
        return given.lower()
    if of.name in {"Int", "BigInt", "Float", "Decimal"} and (number := _NUMBER.fullmatch(given)):
        return number[1]
    if text := _STRING.fullmatch(given):
        literal = text[1].replace("''", "'")
        if isinstance(column.type, types.Enum):
            return identifier(literal)
        if of.name in {"String", "Json"}:
            return quoted(literal)
        if of.name.endswith("[]") and literal == "{}":
            return "[]"
    return f"dbgenerated({quoted(given)})"


def _counted(name: str, count: int | None) -> str:
    return name if count is None else f"{name}({count})"
