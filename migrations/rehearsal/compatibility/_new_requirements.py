"""What a changed schema requires of a statement that the one before did not: known to refuse it, or in doubt."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Literal

from migrations.rehearsal.compatibility._requirements import Column, Requirements, Rule, Table
from migrations.rehearsal.compatibility._statement_usage import Relation, Usage
from migrations.rehearsal.compatibility._trials import Rows, Sample

Refusal = Literal["required column", "default", "privilege", "uniqueness"]

_LENGTH = re.compile(r"(?P<base>[^(]+)\((?P<length>\d+)\)")


def refusals(used: Usage, before: Requirements, after: Requirements, sample: Sample) -> Generator[tuple[Refusal, str]]:
    """What refuses the statement for certain, or does something else than it did.

    Args:
        used: what the statement uses.
        before: what the old schema requires.
        after: what the new one does.
        taken: rows of production, as they were before.
    """
    for relation in sorted(used.inserts):
        for table in _tables(relation, before):
            yield from _left_out(table, used.written[relation], before, after)
    for relation, privilege in sorted(used.relations):
        for table in _tables(relation, before):
            if table in before.columns and table not in after.columns:
                continue
            yield from _lost(table, privilege, relation, used, before, after)
    for relation in sorted(used.written):
        for table in _tables(relation, before):
            for rule in _new_rules(table, before, after):
                if rule.kind == "u" and (twice := _twice(rule, sample.get(relation))):
                    yield "uniqueness", f"it wrote {twice}, which {_name(table)} takes no more: {rule.text}"


def doubts(used: Usage, before: Requirements, after: Requirements) -> list[str]:
    """What the new schema requires of the values that the statement writes, which it alone cannot tell.

    Args:
        used: what the statement uses.
        before: what the old schema requires.
        after: what the new one does.
    """
    found: list[str] = []
    for relation, written in sorted(used.written.items(), key=lambda one: one[0]):
        for table in _tables(relation, before):
            found += [
                f"{_name(table)} has a new {_word(rule)} that its values have to satisfy: {rule.text}"
                for rule in _new_rules(table, before, after)
                if not rule.columns or written is None or rule.columns & written or relation in used.inserts
            ]
            found += [
                f"{_name(table)}.{name} {change}"
                for name, change in _narrowed(table, before, after)
                if written is None or name in written
            ]
    return found


def filters(used: Usage, before: Requirements, after: Requirements) -> list[str]:
    """Where row-level security decides otherwise than before, which no try of the owner's can tell.

    Args:
        used: what the statement uses.
        before: what the old schema allows.
        after: what the new one does.
    """
    return [
        f"row-level security decides otherwise which rows of {_name(table)} it may {privilege}"
        for relation, privilege in sorted(used.relations)
        for table in _tables(relation, before)
        if table in after.filtered and after.filtered[table] != before.filtered.get(table)
    ]


def _left_out(
    table: Table, written: set[str] | None, before: Requirements, after: Requirements
) -> Generator[tuple[Refusal, str]]:
    old = before.columns.get(table, {})
    for name, now in sorted(after.columns.get(table, {}).items()):
        # Without a list of columns the values are for those that were there when it was written.
        if (written is None and name in old) or (written is not None and name in written):
            continue
        was = old.get(name)
        if now.not_null and not now.filled and not (was and was.not_null and not was.filled):
            yield "required column", f"it gives no value to {_name(table)}.{name}, which needs one now"
        elif was is not None and was.has_default and not now.filled:
            yield "default", f"it gives no value to {_name(table)}.{name}, whose default is gone"


def _lost(
    table: Table, privilege: str, relation: Relation, used: Usage, before: Requirements, after: Requirements
) -> Generator[tuple[Refusal, str]]:
    had = {column for at, column, kind in before.allowed if (at, kind) == (table, privilege)}
    has = {column for at, column, kind in after.allowed if (at, kind) == (table, privilege)}
    lost = {column for column in had - has if not column or column in after.columns.get(table, {column: None})}
    written = used.written.get(relation)
    asked = used.columns if privilege == "SELECT" else written if written is not None else lost
    everything = (privilege == "SELECT" and used.everything) or "" in lost
    if lost and (not has or everything or lost & asked):
        what = "" if not has or everything else f" of {', '.join(sorted(lost & asked))}"
        yield "privilege", f"the role may not {privilege}{what} on {_name(table)} any more"
    if privilege == "INSERT":
        for column in sorted(_sequences(before, table) - _sequences(after, table)):
            given = written is not None and column in written
            if not given and column in after.columns.get(table, {}) and after.columns[table][column].has_default:
                yield "privilege", f"the role may not use the sequence of {_name(table)}.{column} any more"
    if table in after.filtered:
        was = before.filtered[table][0] if table in before.filtered else frozenset({privilege})
        if privilege in was - after.filtered[table][0]:
            yield "privilege", f"row-level security of {_name(table)} lets the role {privilege} no row any more"


def _sequences(requirements: Requirements, table: Table) -> set[str]:
    return {column for at, column, kind in requirements.allowed if (at, kind) == (table, "SEQUENCE")}


def _new_rules(table: Table, before: Requirements, after: Requirements) -> list[Rule]:
    # A rule that only became valid holds for new rows already.
    known = {_unvalidated(rule.text) for rule in before.rules.get(table, ())}
    return sorted(
        (rule for rule in after.rules.get(table, ()) if _unvalidated(rule.text) not in known),
        key=lambda rule: rule.text,
    )


def _unvalidated(text: str) -> str:
    return text.removesuffix(" NOT VALID")


def _narrowed(table: Table, before: Requirements, after: Requirements) -> Generator[tuple[str, str]]:
    for name, was in before.columns.get(table, {}).items():
        now = after.columns.get(table, {}).get(name)
        if now is None:
            continue
        if now.not_null and not was.not_null:
            yield name, "takes no NULL any more"
        if was.type != now.type and not _wider(was, now):
            yield name, f"was {was.type} and is {now.type} now"


def _wider(was: Column, now: Column) -> bool:
    old, new = _LENGTH.fullmatch(was.type), _LENGTH.fullmatch(now.type)
    if old is None:
        return now.type == "text" and was.type == "character varying"
    if new is None:
        return now.type in {"text", old["base"]}
    return old["base"] == new["base"] and int(old["length"]) <= int(new["length"])


def _twice(rule: Rule, rows: Rows | None) -> str:
    """Values that the application itself has given to two rows; empty where the sample has none."""
    columns = sorted(rule.columns)
    if rows is None or not set(columns) <= set(rows.columns):
        return ""
    seen: set[tuple[str | None, ...]] = set()
    for values in zip(*(rows.column(name) for name in columns), strict=True):
        if None in values and not rule.nulls_alike:
            continue
        if values in seen:
            return f"({', '.join(columns)}) = ({', '.join(map(str, values))}) twice"
        seen.add(values)
    return ""


def _tables(relation: Relation, requirements: Requirements) -> list[Table]:
    """The tables that a name may mean; where the search path decides, public's first."""
    named = {
        table
        for table in (*requirements.columns, *(at for at, _, _ in requirements.allowed))
        if table[1] == relation.name
    }
    if relation.schema:
        return sorted(table for table in named if table[0] == relation.schema)
    return [("public", relation.name)] if ("public", relation.name) in named else sorted(named)


def _name(table: Table) -> str:
    return table[1] if table[0] == "public" else f"{table[0]}.{table[1]}"


def _word(rule: Rule) -> str:
    return {"c": "CHECK", "f": "foreign key", "x": "exclusion", "t": "trigger"}.get(rule.kind, "unique rule")
