"""The whole Prisma schema: enums, models, and what it leaves out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Enum,
    ForeignKeyConstraint,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapper
from sqlalchemy.schema import Column

from migrations.prisma._indexes import model_indexes, primary_key, single_unique, unexpressed_indexes, unique_columns
from migrations.prisma._relation_fields import RelationFields, relations, unexpressed_keys
from migrations.prisma._syntax import Field, Unexpressed, block, columns, identifier, indented, mapped, one_line, quoted
from migrations.prisma._types import default_of, prisma_type

_HEAD = """\
// Written by `pilotage schema --prisma` from the models: change those, and write this again.
// The revisions change the database: do not run `prisma migrate` or `prisma db push` against it.

generator client {
  provider = "prisma-client-js"
}

datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
"""
_MADE = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:CONSTRAINT\s+)?(TRIGGER|POLICY|FUNCTION|VIEW|MATERIALIZED VIEW)"
    r"\s+\"?([\w.]+)\"?"
    r"(?:.*?\bON\s+(?:public\.)?\"?(\w+)\"?)?",
    re.IGNORECASE | re.DOTALL,
)
_SECURED = re.compile(
    r"ALTER\s+TABLE\s+(?:public\.)?\"?(\w+)\"?\s+(ENABLE|FORCE)\s+ROW\s+LEVEL\s+SECURITY", re.IGNORECASE
)


@dataclass(frozen=True)
class PrismaSchema:
    """A Prisma schema.

    Attributes:
        text: the file.
        unexpressed: what the database has and the file cannot say; the file names it in comments.
    """

    text: str
    unexpressed: tuple[Unexpressed, ...]


def prisma_schema(base: type[DeclarativeBase]) -> PrismaSchema:
    """Write models as a Prisma schema.

    Args:
        base: the declarative base of the models.
    """
    mappers: dict[Table, Mapper[Any]] = {
        table: mapper for mapper in base.registry.mappers for table in mapper.tables if isinstance(table, Table)
    }
    tables = [table for table in base.metadata.tables.values() if table.schema is None]
    models = {
        table: identifier(mappers[table].class_.__name__ if table in mappers else _class_name(table))
        for table in tables
    }
    related = RelationFields(relations(tables), models, mappers)
    lost = [*_unexpressed(base.metadata, tables)]
    parts = [_HEAD, *(_enum(one) for one in _enums(tables))]
    for table in tables:
        missing = [one for one in lost if one.table == table.name]
        parts.append(_model(table, models[table], related.of(table), missing))
    if general := [one for one in lost if one.table not in base.metadata.tables]:
        parts.append("".join(f"// Not expressed here: {one_line(str(one))}\n" for one in general))
    return PrismaSchema("\n".join(parts), tuple(lost))


def _model(table: Table, name: str, related: tuple[Field, ...], lost: list[Unexpressed]) -> str:
    lines = [*columns(_field(table, column) for column in table.columns)]
    if related:
        lines += ["", *columns(related)]
    attributes = [*model_indexes(table), *([f"@@map({quoted(table.name)})"] if table.name != name else [])]
    if not primary_key(table) and not unique_columns(table):
        attributes.append("@@ignore")
    if lost:
        told = (one_line(f"{one.what}: {one.detail}" if one.detail else one.what) for one in lost)
        lines += ["", *indented(f"// Not expressed here: {each}" for each in told)]
    if attributes:
        lines += ["", *indented(attributes)]
    return block("model", name, lines, [table.comment] if table.comment else ())


def _field(table: Table, column: Column[Any]) -> Field:
    of = prisma_type(column.type)
    name = identifier(column.name)
    optional = "?" if column.nullable and not of.name.endswith("[]") else ""
    default = default_of(column, of)
    kept = name == "updatedAt" and of.name == "DateTime"
    attributes = (
        *single_unique(table, column),
        *((default,) if default else ()),
        *(("@updatedAt",) if kept else ()),
        *mapped(name, column.name),
        *((of.attribute,) if of.attribute else ()),
    )
    secret = ("Ciphertext: the application encrypts and decrypts it.",) if column.info.get("encrypted") else ()
    return Field(name, f"{of.name}{optional}", attributes, (*((column.comment,) if column.comment else ()), *secret))


def _enums(tables: list[Table]) -> tuple[Enum, ...]:
    found: dict[str, Enum] = {}
    for table in tables:
        for column in table.columns:
            of: Any = getattr(column.type, "item_type", column.type)
            if isinstance(of, Enum) and of.name:
                found.setdefault(of.name, of)
    return tuple(found[name] for name in sorted(found))


def _enum(of: Enum) -> str:
    labels = [" ".join((identifier(label), *mapped(identifier(label), label))) for label in of.enums]
    name = str(of.name)
    after = [] if identifier(name) == name else ["", f"@@map({quoted(name)})"]
    note = getattr(of.enum_class, "__doc__", None)
    return block("enum", identifier(name), indented([*labels, *after]), [note] if note else ())


def _unexpressed(metadata: MetaData, tables: list[Table]) -> Iterator[Unexpressed]:
    for table in tables:
        for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
            if isinstance(constraint, CheckConstraint):
                yield Unexpressed(table.name, f"CHECK {constraint.name}", one_line(str(constraint.sqltext)))
            elif not isinstance(constraint, UniqueConstraint | ForeignKeyConstraint | PrimaryKeyConstraint):
                yield Unexpressed(table.name, f"constraint {constraint.name}", type(constraint).__name__)
        yield from unexpressed_indexes(table)
        yield from unexpressed_keys(table, tables)
        for column in table.columns:
            if column.computed is not None:
                yield Unexpressed(table.name, f"generated column {column.name}", one_line(str(column.computed.sqltext)))
            if not prisma_type(column.type).supported:
                yield Unexpressed(table.name, f"type of {column.name}", "the client neither reads nor writes it")
        yield from _created_by_statements(table)
    yield from _created_by_statements(metadata)


def _created_by_statements(of: Table | MetaData) -> Iterator[Unexpressed]:
    """Triggers, policies, functions and views, which are made with the tables by statements of their own."""
    listeners: Mapping[str, Any] = {name: getattr(of.dispatch, name) for name in ("before_create", "after_create")}
    owner = of.name if isinstance(of, Table) else ""
    for listener in (one for every in listeners.values() for one in every):
        statement = str(listener.statement) if isinstance(listener, DDL) else ""
        if made := _MADE.match(statement):
            kind = made[1].lower()
            yield Unexpressed((made[3] or owner) if kind in {"trigger", "policy"} else owner, f"{kind} {made[2]}")
        for secured in _SECURED.finditer(statement):
            yield Unexpressed(secured[1], f"row-level security ({secured[2].lower()})")


def _class_name(table: Table) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", table.name) if word]
    last = words[-1]
    singular = f"{last[:-3]}y" if last.endswith("ies") else last.removesuffix("s") if not last.endswith("ss") else last
    return identifier("".join(word[:1].upper() + word[1:] for word in [*words[:-1], singular]))
