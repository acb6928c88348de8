"""The lint itself: every hazard held against every statement, in the order of the history."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from postgast import nodes

from migrations.lint import squawk
from migrations.lint.findings import Finding, Waiver
from migrations.lint.hazard import Hazard, Subject
from migrations.lint.hazard_registry import HAZARDS
from migrations.lint.hazards.waivers import UNKNOWN, UNUSED, WITHOUT_REASON
from migrations.sql.database_context import DatabaseContext, Table
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import apply, dropped, is_temporary
from migrations.sql.locking import locks
from migrations.sql.names import Name
from migrations.sql.source_statement import SourceStatement
from migrations.sql.statements import Reader, Statement

_SQUAWK = {rule: hazard for hazard in HAZARDS.values() if hazard.rule is None for rule in hazard.squawk}


def lint(
    statements: Sequence[SourceStatement], context: DatabaseContext | None = None, waivers: Sequence[Waiver] = ()
) -> tuple[Finding, ...]:
    """Judge statements before they run.

    Args:
        statements: what will be sent, in order.
        context: what is known of the database before the first; nothing without.
        waivers: hazards that are taken knowingly; a waiver that is a mistake is a finding itself.

    Returns:
        What was found, in order; the waived too, with the reason.

    Raises:
        SqlUnreadable: a statement is no SQL that PostgreSQL knows.
        SquawkUnavailable: squawk did not answer.
    """
    return apply_waivers(judge(statements, context or DatabaseContext()), waivers)


def judge(statements: Sequence[SourceStatement], context: DatabaseContext) -> tuple[Finding, ...]:
    """Judge statements as `lint` does, without regard to waivers."""
    return tuple(_judge(Reader.with_functions(context.functions).read(statements), context))


def known_after(context: DatabaseContext, statements: Sequence[SourceStatement]) -> DatabaseContext:
    """What is known once statements have happened, as far as they tell; what they made is in use by then."""
    reader = Reader.with_functions(context.functions)
    state = DatabaseState(context)
    for one in reader.read(statements):
        state.advance_to(one, ())
        apply(state, one)
    tables = {name: _settled(one) for name, one in state.tables.items()}
    return replace(context, tables=tables, enums=state.enums, domains=state.domains, functions=dict(reader.functions))


def _settled(table: Table) -> Table:
    constraints = tuple(replace(one, transaction=None) for one in table.constraints)
    return replace(table, is_new=False, constraints=constraints)


def apply_waivers(
    findings: Sequence[Finding],
    waivers: Sequence[Waiver],
    *,
    elsewhere: Callable[[], Sequence[Finding]] = tuple,
    unjudged: Callable[[Waiver], bool] = lambda _: False,
) -> tuple[Finding, ...]:
    """Mark what is waived, and add what is wrong with the waivers.

    Args:
        findings: what was found.
        waivers: what is taken knowingly.
        elsewhere: what is found on a database that nothing is known of; asked where a waiver covers nothing here, since
            a small table has no hazard that a large one has.
        unjudged: whether nobody looked for what a waiver covers.
    """
    used = {one for one in waivers if unjudged(one)}
    result: list[Finding] = []
    for finding in findings:
        by = next((one for one in waivers if one.has_reason and one.holds_for(finding)), None)
        used |= {one for one in waivers if one.holds_for(finding)}
        result.append(replace(finding, waived_by=by.reason) if by else finding)
    idle = [one for one in waivers if one not in used and one.hazard in HAZARDS]
    if idle:
        used |= {one for one in idle for finding in elsewhere() if one.holds_for(finding)}
    for waiver in waivers:
        wrong = _mistake(waiver, used)
        if wrong is not None:
            text = wrong.message(Subject(name=waiver.hazard))
            result.append(Finding(wrong.id, waiver.revision, waiver.file, waiver.line, "", text))
    return tuple(result)


def _mistake(waiver: Waiver, used: Collection[Waiver]) -> Hazard | None:
    if waiver.hazard not in HAZARDS:
        return UNKNOWN
    if not waiver.has_reason:
        return WITHOUT_REASON
    return UNUSED if waiver not in used else None


def _judge(statements: Sequence[Statement], context: DatabaseContext) -> Iterator[Finding]:
    state = DatabaseState(context)
    state.index_builds = tuple(one for one in statements if isinstance(one.node, nodes.IndexStmt))
    seen = squawk.ask(statements, _SQUAWK)
    steps: dict[tuple[str, str], list[Statement]] = {}
    for one in statements:
        steps.setdefault(one.origin.step, []).append(one)
    told: set[tuple[str, tuple[str, str], int, str, str]] = set()
    for number, statement in enumerate(statements):
        state.advance_to(statement, tuple(steps[statement.origin.step]))
        for hazard, subject in _hazards(statement, state, seen.get(number, frozenset())):
            found = _finding(hazard, subject, statement)
            key = (hazard.id, statement.origin.step, found.line, found.statement, found.message)
            if key not in told:
                told.add(key)
                yield found
        apply(state, statement)


def _hazards(statement: Statement, state: DatabaseState, seen: Collection[str]) -> Iterator[tuple[Hazard, Subject]]:
    if isinstance(statement.node, nodes.CreateStmt) and is_temporary(statement.node.relation):
        return
    for hazard in _BY_RULE:
        for subject in hazard.rule(statement, state) if hazard.rule else ():
            if _concerns(hazard, subject, state):
                yield hazard, subject
    for hazard in {_SQUAWK[rule].id: _SQUAWK[rule] for rule in sorted(seen)}.values():
        if hazard.unless is None or not hazard.unless(statement, state):
            for subject in _subjects(statement):
                if _concerns(hazard, subject, state):
                    yield hazard, subject


_BY_RULE = tuple(hazard for hazard in HAZARDS.values() if hazard.rule is not None)


def _concerns(hazard: Hazard, subject: Subject, state: DatabaseState) -> bool:
    if subject.table is not None and state.table(subject.table).temporary:
        return False
    if subject.table is None or hazard.concern == "any":
        return True
    return state.is_large(subject.table) if hazard.concern == "large" else state.is_live(subject.table)


def _subjects(statement: Statement) -> tuple[Subject, ...]:
    """What a statement is about, where squawk alone has seen something in it."""
    node = statement.node
    if isinstance(node, nodes.DropStmt):
        return tuple(Subject(name=str(name)) for name in dropped(node))
    if isinstance(node, nodes.CreateStmt):
        return (Subject(table=Name.of_range(node.relation), name=str(Name.of_range(node.relation))),)
    tables: Mapping[Name, None] = dict.fromkeys(one.table for one in locks(node))
    return tuple(Subject(table=table, name=str(table)) for table in tables) or (Subject(),)


def _finding(hazard: Hazard, subject: Subject, statement: Statement) -> Finding:
    inside = f"In {statement.within}: " if statement.within else ""
    return Finding(
        hazard=hazard.id,
        revision=statement.origin.revision,
        file=statement.origin.file,
        line=statement.line,
        statement=statement.on_one_line,
        message=inside + hazard.message(subject),
        table=str(subject.table or ""),
    )
