"""The catalogue of a database as a value, which can be read, compared, hashed and stored."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import psycopg
from pydantic import TypeAdapter, ValidationError

from migrations.catalog._queries import QUERIES
from migrations.errors import CatalogUnreadable

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, order=True)
class CatalogObject:
    """One object of the catalogue.

    Attributes:
        kind: schema, table, column, constraint, index, enum, domain, sequence, view, function, trigger, rule, type,
            aggregate, statistics, policy, comment, grant (who owns something out of the ordinary, too).
        name: its name, quoted where SQL asks for it, with its table, and with its schema outside of public.
        definition: what it is, in SQL's words.
    """

    kind: str
    name: str
    definition: str


@dataclass(frozen=True)
class Difference:
    """One object that differs between two catalogues.

    Attributes:
        kind: kind of the object.
        name: its name.
        change: added (the second has it alone), removed (the first has it alone) or changed.
        before: its definition in the first; None where that has none.
        after: its definition in the second; None where that has none.
    """

    kind: str
    name: str
    change: Change
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.change == "changed":
            return f"{self.kind} {self.name} changed from {self.before} to {self.after}"
        return f"{self.kind} {self.name} {self.change} ({self.after or self.before})"


_objects: TypeAdapter[tuple[CatalogObject, ...]] = TypeAdapter(tuple[CatalogObject, ...])


@dataclass(frozen=True)
class Catalog:
    """Every object that the catalogue of a database describes, in a fixed order."""

    objects: tuple[CatalogObject, ...]

    @classmethod
    def of(cls, objects: Iterable[CatalogObject]) -> "Catalog":
        """A catalogue of these objects; their order does not matter."""
        return cls(tuple(sorted(objects)))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole catalogue, hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def by_name(self) -> "dict[tuple[str, str], CatalogObject]":
        """Each object by its kind and name."""
        return {(o.kind, o.name): o for o in self.objects}

    def to_json(self) -> str:
        """The catalogue as JSON, the same for the same catalogue."""
        return json.dumps(
            [{"kind": o.kind, "name": o.name, "definition": o.definition} for o in self.objects], ensure_ascii=False
        )

    @classmethod
    def from_json(cls, text: str) -> "Catalog":
        """Read a catalogue that was stored as JSON.

        Raises:
            CatalogUnreadable: it is not one that was written by `to_json`.
        """
        try:
            return cls.of(_objects.validate_json(text))
        except ValidationError as error:
            raise CatalogUnreadable(f"{error.error_count()} fields are not as they must be") from error

    def of_kind(self, kind: str) -> tuple[CatalogObject, ...]:
        """The objects of one kind."""
        return tuple(o for o in self.objects if o.kind == kind)

    def without(self, *kinds: str) -> "Catalog":
        """The same catalogue with some kinds left out."""
        return Catalog(tuple(o for o in self.objects if o.kind not in kinds))

    def with_changes(self, changes: "Iterable[Difference]") -> "Catalog":
        """The same catalogue with some changes applied, whatever the objects were before."""
        objects = dict(self.by_name)
        for one in changes:
            objects.pop((one.kind, one.name), None)
            if one.after is not None:
                objects[one.kind, one.name] = CatalogObject(one.kind, one.name, one.after)
        return Catalog.of(objects.values())


def read_catalog(connection: psycopg.Connection) -> Catalog:
    """Read the catalogue, without PostgreSQL's own schemas, `pilotage`, and Alembic's version table.

    Args:
        connection: a session in a transaction or about to begin one; it is left as it was.

    Raises:
        psycopg.Error: the catalogue could not be read.

    Locks: AccessShareLock on the system catalogues, for the transaction.
    """
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        # With an empty search_path every name in a definition is qualified, whatever the session was set to.
        cursor.execute("SET LOCAL search_path = ''")
        objects = [
            CatalogObject(kind, str(name), str(definition))
            for kind, query in QUERIES.items()
            for name, definition in cursor.execute(query)
        ]
    return Catalog.of(objects)


def difference(before: Catalog, after: Catalog) -> tuple[Difference, ...]:
    """The objects that differ between two catalogues, in order of kind and name; empty where they are equal."""
    old = {(o.kind, o.name): o.definition for o in before.objects}
    new = {(o.kind, o.name): o.definition for o in after.objects}
    found: list[Difference] = []
    for key in sorted(old.keys() | new.keys()):
        was, is_now = old.get(key), new.get(key)
        if was == is_now:
            continue
        change: Change = "added" if was is None else "removed" if is_now is None else "changed"
        found.append(Difference(*key, change, was, is_now))
    return tuple(found)
