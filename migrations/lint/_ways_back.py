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
from migrations.sql.context import Column, Context, Table
from migrations.sql.effects import apply
from migrations.sql.names import Name
from migrations.sql.objects import Object, change
from migrations.sql.source_statement import LintedStatement
from migrations.sql.statements import Reader, Statement
from migrations.sql.world import World

_LONGEST_NAME = 64

Sent = Mapping[str, Sequence[LintedStatement]]


@dataclass(frozen=True)
class _State:
    """What stands at a point: relations, the labels of enum types, and what else there is."""

    tables: Mapping[Name, Table]
    enums: Mapping[Name, tuple[str, ...]]
    objects: frozenset[Object]

    @classmethod
    def of(cls, world: World) -> _State:
        return cls(dict(world.tables), dict(world.enums), frozenset(world.objects))


def ways_back(revisions: Sequence[Revision], up: Sent, down: Sent, judged: frozenset[str]) -> Iterator[Finding]:
    """Take each revision back on paper, and tell what is not as it was.

    Args:
        revisions: the history, oldest first.
        up: what each sends on its way up.
        down: what it sends on its way back; a revision without an entry is not judged.
        judged: the revisions to judge.
    """
    reader, world = Reader(), World(Context())
    for revision in revisions:
        before = _State.of(world)
        sure = _run(world, reader.read(up.get(revision.id, ()))) and revision.id in up
        after = _State.of(world)
        if revision.id not in judged or not sure or revision.id not in down:
            continue
        back = World(Context(tables=after.tables, enums=after.enums, domains=world.domains))
        back.objects = set(after.objects)
        taking_back = Reader.knowing(reader.functions).read(down[revision.id])
        if not _run(back, taking_back):
            continue
        faults = [*_faults(before, after, _State.of(back)), *_beside(before, after, _State.of(back), taking_back)]
        if faults:
            text = LIES.message(Subject(name=revision.id, detail="; ".join(faults[:5])))
            line = min((one.line for one in down[revision.id]), default=1)
            yield Finding(LIES.id, revision.id, shown(revision.path), line, "", text)


def _run(world: World, sent: Sequence[Statement]) -> bool:
    """Let statements have happened; False where what one does cannot be told."""
    sure = True
    for one in sent:
        world.enter(one, ())
        apply(world, one)
        sure = sure and not one.dynamic
    return sure


def _faults(before: _State, after: _State, back: _State) -> Iterator[str]:
    for name in sorted(_touched(before, after) | _touched(after, back)):
        was, then, now = (state.tables.get(name) for state in (before, after, back))
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


def _beside(before: _State, after: _State, back: _State, taking_back: Sequence[Statement]) -> Iterator[str]:
    """What differs beside tables; what the way back makes itself may be the one that stood there before."""
    again: set[Object] = set()
    for one in taking_back:
        change(again, one.node)
    yield from (f"{one} stays" for one in sorted((after.objects - before.objects) & back.objects - again))
    yield from (f"{one} does not come back" for one in sorted(before.objects - after.objects - back.objects))


def _touched(first: _State, second: _State) -> set[Name]:
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
