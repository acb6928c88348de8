"""Enums: their labels are added in place, or the type is made anew."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from migrations.authoring.drafting.names import ColumnDefinition, last, literal, parent, plain, unqualified
from migrations.authoring.drafting.schema_changes import Comparison, Rank, SchemaChange, reverse, schema_change
from migrations.catalog.contents import Catalog, Difference

_LABEL: Final = re.compile(r"'((?:[^']|'')*)'")


def enum_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Enums: new labels are added in place; a label that goes or moves makes the type anew."""
    for found in compared.of_kind("enum"):
        subject = f"enum {found.name}"
        if found.change != "changed":
            labels = found.after or found.before
            created = schema_change(
                Rank.TYPE,
                f"CREATE TYPE {found.name} AS ENUM ({labels})",
                f"DROP TYPE {found.name}",
                subject=subject,
            )
            yield created if found.change == "added" else reverse(created, Rank.DROP_TYPE, "contract")
            continue
        before, after = _labels(found.before), _labels(found.after)
        anew_back = _anew(compared, found.name, found.before or "", compared.before)
        if not _is_rebuilt(found):
            yield schema_change(
                Rank.LABEL, _new_labels(found.name, before, after), anew_back, alone="label", subject=subject
            )
        else:
            anew = _anew(compared, found.name, found.after or "", compared.after)
            yield schema_change(Rank.LABEL, anew, anew_back, phase="contract", alone="label", subject=subject)


def rebuilt_enums(compared: Comparison) -> frozenset[str]:
    """Enums that no added label brings to what they should be."""
    return frozenset(one.name for one in compared.of_kind("enum") if one.change == "changed" and _is_rebuilt(one))


def _is_rebuilt(found: Difference) -> bool:
    before, after = _labels(found.before), _labels(found.after)
    return [label for label in after if label in before] != before


def _labels(definition: str | None) -> list[str]:
    return [found.replace("''", "'") for found in _LABEL.findall(definition or "")]


def _new_labels(name: str, before: Sequence[str], after: Sequence[str]) -> list[str]:
    statements: list[str] = []
    there = list(before)
    for place, label in enumerate(after):
        if label in there:
            continue
        where = f" AFTER {literal(after[place - 1])}" if place else f" BEFORE {literal(there[0])}" if there else ""
        at_end = place and there[-1] == after[place - 1]
        statements.append(f"ALTER TYPE {name} ADD VALUE {literal(label)}{'' if at_end else where}")
        there.insert(there.index(after[place - 1]) + 1 if place else 0, label)
    return statements


def _anew(compared: Comparison, name: str, labels: str, wanted: Catalog) -> tuple[str, ...]:
    """Make an enum anew, and everything that says its name; a value that it lacks then stops this.

    The columns get the defaults of the wanted catalogue, since those of the other may be labels that are no more.
    """
    catalog = compared.before
    old = f'"{plain(last(name))} before"'
    users = [
        (one.name, ColumnDefinition(one.definition))
        for one in catalog.of_kind("column")
        if ColumnDefinition(one.definition).type in {name, f"{name}[]"}
    ]
    leaning = [
        compared.first.by_name[one.kind, one.name]
        for one in catalog.objects
        if one.kind in {"constraint", "index"}
        and re.search(rf'::{re.escape(name)}(?![\w"])', unqualified(one.definition))
    ]
    statements = [
        f"DROP INDEX {one.name}"
        if one.kind == "index"
        else f"ALTER TABLE {parent(one.name)} DROP CONSTRAINT {last(one.name)}"
        for one in leaning
    ]
    statements += [f"ALTER TYPE {name} RENAME TO {old}", f"CREATE TYPE {name} AS ENUM ({labels})"]
    for column, definition in users:
        head = f"ALTER TABLE {parent(column)} ALTER COLUMN {last(column)}"
        text = "text[]" if definition.type.endswith("[]") else "text"
        statements += [f"{head} DROP DEFAULT"] if definition.default else []
        statements.append(f"{head} TYPE {definition.type} USING {last(column)}::{text}::{definition.type}")
        there = wanted.by_name.get(("column", column))
        default = ColumnDefinition(there.definition).default if there else None
        statements += [f"{head} SET DEFAULT {default}"] if default else []
    statements.append(f"DROP TYPE {old}" if "." not in name else f"DROP TYPE {parent(name)}.{old}")
    statements += [
        unqualified(one.definition)
        if one.kind == "index"
        else f"ALTER TABLE {parent(one.name)} ADD CONSTRAINT {last(one.name)} {unqualified(one.definition)}"
        for one in leaning
    ]
    return tuple(statements)
