"""Downgrades that do not bring back what stood before, as far as their statements tell.

A rehearsal tells for certain; this tells while the revision is being written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrations.history.revisions import Revision
from migrations.lint.findings import Finding
from migrations.lint.hazard import Subject
from migrations.lint.hazards.downgrade import LIES
from migrations.lint.offline import shown
from migrations.sql.database_context import Column, DatabaseContext, Table
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import apply
from migrations.sql.names import Name
from migrations.sql.objects import Object, apply_to_objects
from migrations.sql.source_statement import SourceStatement
from migrations.sql.statements import Reader, Statement

_LONGEST_NAME = 64

Sent = Mapping[str, Sequence[SourceStatement]]


@dataclass(frozen=True)
class _Schema:
    """The objects that exist at one point: relations, enum types with their labels, and others."""

    tables: Mapping[Name, Table]
    enums: Mapping[Name, tuple[str, ...]]
    objects: frozenset[Object]

    @classmethod
    def of(cls, state: DatabaseState) -> _Schema:
        return cls(dict(state.tables), dict(state.enums), frozenset(state.objects))


def unfaithful_downgrades(
    revisions: Sequence[Revision], up: Sent, down: Sent, judged: frozenset[str]
) -> Iterator[Finding]:
    """Follow each revision up and down again by its statements, and report what is not as it was before.

    Args:
        revisions: the history, oldest first.
        up: what each upgrade sends.
        down: what each downgrade sends; a revision without an entry is not judged.
        judged: the revisions to judge.
    """
    reader, state = Reader(), DatabaseState(DatabaseContext())
    for revision in revisions:
        before = _Schema.of(state)
        sure = _run(state, reader.read(up.get(revision.id, ()))) and revision.id in up
        after = _Schema.of(state)
        if revision.id not in judged or not sure or revision.id not in down:
            continue
        back = DatabaseState(DatabaseContext(tables=after.tables, enums=after.enums, domains=state.domains))
        back.objects = set(after.objects)
        downgrade = Reader.with_functions(reader.functions).read(down[revision.id])
        if not _run(back, downgrade):
            continue
        faults = [*_faults(before, after, _Schema.of(back)), *_beside(before, after, _Schema.of(back), downgrade)]
        if faults:
            text = LIES.message(Subject(name=revision.id, detail="; ".join(faults[:5])))
            line = min((one.line for one in down[revision.id]), default=1)
            yield Finding(LIES.id, revision.id, shown(revision.path), line, "", text)


def _run(state: DatabaseState, sent: Sequence[Statement]) -> bool:
    """Let statements have happened; False where what one does cannot be told."""
    sure = True
    for one in sent:
        state.advance_to(one, ())
        apply(state, one)
        sure = sure and not one.dynamic
    return sure


def _faults(before: _Schema, after: _Schema, back: _Schema) -> Iterator[str]:
    for name in sorted(_touched(before, after) | _touched(after, back)):
        was, then, now = (schema.tables.get(name) for schema in (before, after, back))
        made, gone = was is None and _is_made(then), was is not None and was.complete
        if made and now is not None:
            yield f"{now.kind} {name} stays"
        elif gone and now is None:
            yield f"{name} does not come back"
        elif now is not None:
            yield from _inside(was or Table(name), then or Table(name), now)
    for name in sorted(after.enums):
        labels = set(back.enums.get(name, ())) - set(before.enums.get(name, ()))
        if name in before.enums and labels:
            yield f"labels of {name} stay: {', '.join(sorted(labels))}"


def _beside(before: _Schema, after: _Schema, back: _Schema, downgrade: Sequence[Statement]) -> Iterator[str]:
    """What differs beside tables; an object that the downgrade makes may be the one that stood there before."""
    again: set[Object] = set()
    for one in downgrade:
        apply_to_objects(again, one.node)
    yield from (f"{one} stays" for one in sorted((after.objects - before.objects) & back.objects - again))
    yield from (f"{one} does not come back" for one in sorted(before.objects - after.objects - back.objects))


def _touched(first: _Schema, second: _Schema) -> set[Name]:
    if first.tables.keys() != second.tables.keys():
        names = first.tables.keys() | second.tables.keys()
        return {name for name in names if first.tables.get(name) is not second.tables.get(name)}
    return {name for name, table in first.tables.items() if second.tables[name] is not table}


def _is_made(table: Table | None) -> bool:
    """Whether the history makes a relation, and does not merely name one that was there."""
    return table is not None and (table.complete or table.kind != "table")


def _inside(was: Table, then: Table, now: Table) -> Iterator[str]:
    """What differs within a table; of one that was there before the history, only what the upgrade added is known."""
    parts: tuple[tuple[str, Callable[[Table], frozenset[str]]], ...] = (
        ("column", lambda table: frozenset(name for name, one in table.columns.items() if one.made)),
        ("index", lambda table: frozenset(table.indexes)),
        ("constraint", _constraints),
        ("policy", lambda table: table.policies),
    )
    for kind, names in parts:
        stays = names(now) & names(then) - names(was)
        lost = names(was) - names(now) if was.complete else frozenset[str]()
        yield from (f"{kind} {was.name}.{one} stays" for one in sorted(stays))
        yield from (f"{kind} {was.name}.{one} does not come back" for one in sorted(lost))
    if was.complete:
        for name in sorted(was.columns.keys() & now.columns.keys()):
            yield from _of_column(f"{was.name}.{name}", was.columns[name], then.columns.get(name), now.columns[name])
        for name in sorted(was.indexes.keys() & now.indexes.keys()):
            first, last = was.indexes[name], now.indexes[name]
            if (first.columns, first.unique, first.partial) != (last.columns, last.unique, last.partial):
                yield f"index {was.name}.{name} comes back as another one"
        if now.row_security != was.row_security:
            yield f"row-level security of {was.name} stays {'on' if now.row_security else 'off'}"
        if now.row_security_forced != was.row_security_forced:
            yield f"row-level security of {was.name} stays {'forced' if now.row_security_forced else 'not forced'}"


def _constraints(table: Table) -> frozenset[str]:
    """The names of constraints that have no index of that name, and whose name PostgreSQL does not shorten."""
    return frozenset(
        one.name
        for one in table.constraints
        if one.kind != "not null" and one.name not in table.indexes and len(one.name.encode()) < _LONGEST_NAME
    )


def _of_column(name: str, was: Column, then: Column | None, now: Column) -> Iterator[str]:
    if was.type != now.type:
        stays = then is not None and now.type == then.type
        yield f"{name} stays {now.type}" if stays else f"{name} comes back as {now.type}, not {was.type}"
    if was.not_null != now.not_null:
        yield f"{name} {'is NOT NULL' if now.not_null else 'may hold NULL'} afterwards"
    if was.has_default != now.has_default:
        yield f"{name} {'has a default' if now.has_default else 'has no default'} afterwards"
