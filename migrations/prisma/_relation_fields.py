"""Foreign keys as relations: a field on each side, named as the models name them where they do.

Source: Prisma needs both sides, and one name for each of several relations between the same two models.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.orm import MANYTOONE, Mapper

from migrations.prisma._indexes import primary_key, unique_columns
from migrations.prisma._syntax import Field, Unexpressed, identifier, lower_first, quoted

_ACTIONS = {
    "CASCADE": "Cascade",
    "SET NULL": "SetNull",
    "RESTRICT": "Restrict",
    "SET DEFAULT": "SetDefault",
    "NO ACTION": "NoAction",
}


@dataclass(frozen=True)
class Relation:
    """A foreign key between two tables of the models."""

    table: Table
    to: Table
    key: ForeignKeyConstraint

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that reference."""
        return tuple(self.key.column_keys)

    @property
    def optional(self) -> bool:
        """Whether a row may reference none."""
        return any(bool(column.nullable) for column in self.key.columns)

    @property
    def single(self) -> bool:
        """Whether a row is referenced once at most."""
        return self.columns in {primary_key(self.table), *(columns for columns, _ in unique_columns(self.table))}


def relations(tables: Collection[Table]) -> tuple[Relation, ...]:
    """The foreign keys that Prisma can express, by table and name."""
    known = set(tables)
    every = ((table, key) for table in tables for key in _keys(table))
    return tuple(
        Relation(table, key.referred_table, key) for table, key in every if reason_not_expressible(key, known) is None
    )


def unexpressed_keys(table: Table, tables: Collection[Table]) -> Iterator[Unexpressed]:
    """The foreign keys that Prisma cannot express, or not wholly."""
    for key in _keys(table):
        why = reason_not_expressible(key, tables) or _lost(key)
        if why is not None:
            yield Unexpressed(table.name, f"foreign key {key.name}", why)


def reason_not_expressible(key: ForeignKeyConstraint, tables: Collection[Table]) -> str | None:
    """Why a foreign key is no relation; None where it is one."""
    if key.referred_table not in tables:
        return f"it references {key.referred_table.name}, which is not among the models"
    to = tuple(element.column.name for element in key.elements)
    there = {primary_key(key.referred_table), *(columns for columns, _ in unique_columns(key.referred_table))}
    if not any(set(to) == set(columns) for columns in there):
        return f"it references {', '.join(to)}, which Prisma does not know to be unique"
    return None


class RelationFields:
    """The fields of all relations, by table."""

    def __init__(self, every: tuple[Relation, ...], models: Mapping[Table, str], mappers: Mapping[Table, Mapper[Any]]):
        self._models = models
        self._mappers = mappers
        self._taken = {table: {identifier(column.name) for column in table.columns} for table in models}
        self._fields: dict[Table, list[Field]] = {table: [] for table in models}
        pairs = Counter(frozenset((one.table, one.to)) for one in every)
        for one in every:
            self._add(one, named=pairs[frozenset((one.table, one.to))] > 1 or one.table is one.to)

    def of(self, table: Table) -> tuple[Field, ...]:
        """The fields of a table's model: what it references, then what references it."""
        return tuple(
            sorted(self._fields[table], key=lambda field: not any("fields:" in each for each in field.attributes))
        )

    def _add(self, one: Relation, *, named: bool) -> None:
        mine, theirs = self._names(one)
        name = [quoted(f"{self._models[one.table]}_{'_'.join(one.columns)}")] if named else []
        mark = "?" if one.optional else ""
        says = [
            *name,
            f"fields: [{', '.join(map(identifier, one.columns))}]",
            f"references: [{', '.join(identifier(element.column.name) for element in one.key.elements)}]",
            f"onDelete: {_deleting(one)}",
            f"onUpdate: {_ACTIONS[(one.key.onupdate or 'NO ACTION').upper()]}",
            *self._mapped(one),
        ]
        self._fields[one.table].append(Field(mine, f"{self._models[one.to]}{mark}", (f"@relation({', '.join(says)})",)))
        many = f"{self._models[one.table]}{'?' if one.single else '[]'}"
        self._fields[one.to].append(Field(theirs, many, (f"@relation({name[0]})",) if name else ()))

    def _names(self, one: Relation) -> tuple[str, str]:
        forward = self._relationship(one)
        last = one.columns[-1]
        stem = last.removesuffix("_id").removesuffix("Id")
        mine = forward.key if forward is not None else stem if stem != last else f"{stem}{self._models[one.to]}"
        back: str | None = forward.back_populates if forward is not None else None
        child = lower_first(self._models[one.table])
        theirs = back or (child if one.single else f"{child}s")
        return self._free(one.table, mine, last), self._free(one.to, theirs, last)

    def _relationship(self, one: Relation) -> Any:
        mapper = self._mappers.get(one.table)
        if mapper is None:
            return None
        wanted = {one.table.columns[name] for name in one.columns}
        for each in mapper.relationships:
            if each.direction is MANYTOONE and each.local_columns == wanted and each.mapper.local_table is one.to:
                return each
        return None

    def _free(self, table: Table, wanted: str, column: str) -> str:
        """A name that no field of the model has yet."""
        taken = self._taken[table]
        name = identifier(wanted)
        if name in taken:
            name = f"{name}By{column[:1].upper()}{column[1:]}"
        base, number = name, 1
        while name in taken:
            number += 1
            name = f"{base}{number}"
        taken.add(name)
        return name

    def _mapped(self, one: Relation) -> tuple[str, ...]:
        expected = "_".join([one.table.name, *one.columns, "fkey"])
        name = str(one.key.name or expected)
        return () if name == expected else (f"map: {quoted(name)}",)


def _deleting(one: Relation) -> str:
    action = (one.key.ondelete or "NO ACTION").upper()
    # Prisma refuses to set what is required to null; PostgreSQL may be told which columns it is to set.
    if action.startswith("SET NULL") and (action != "SET NULL" or not all(each.nullable for each in one.key.columns)):
        return "NoAction"
    return _ACTIONS[action]


def _lost(key: ForeignKeyConstraint) -> str | None:
    options: Any = key.dialect_options["postgresql"]
    action = (key.ondelete or "").upper()
    if key.deferrable:
        return "it is DEFERRABLE"
    if options.get("not_valid"):
        return "it is NOT VALID: rows from before it may break it"
    if action.startswith("SET NULL") and (action != "SET NULL" or not all(each.nullable for each in key.columns)):
        return f"ON DELETE {key.ondelete}: written as NoAction"
    return None


def _keys(table: Table) -> list[ForeignKeyConstraint]:
    order = {column.name: place for place, column in enumerate(table.columns)}
    return sorted(
        table.foreign_key_constraints, key=lambda key: (len(key.column_keys), [order[name] for name in key.column_keys])
    )
