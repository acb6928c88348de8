"""Revisions of an Alembic history, judged before they are applied."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from alembic.config import Config
from alembic.script import ScriptDirectory

from migrations.history.revisions import History, Revision
from migrations.lint._downgrades import unfaithful_downgrades
from migrations.lint._revision_files import read_file
from migrations.lint.findings import Finding
from migrations.lint.hazards.downgrade import LIES
from migrations.lint.judging import apply_waivers, judge, known_after
from migrations.lint.offline import OfflineStatements, line_of, offline_statements, shown
from migrations.recording.recorded_statements import RecordedStatement
from migrations.sql.database_context import DatabaseContext
from migrations.sql.source_statement import SourceStatement

# What runs revisions somewhere, and tells what they sent.
Record = Callable[[], Mapping[str, Sequence[RecordedStatement]]]


@dataclass(frozen=True)
class LintReport:
    """What the lint found in revisions.

    Attributes:
        findings: in the order of the history; the waived too.
        judged: the revisions that were judged.
        unknown: why a revision's statements cannot be told, by revision.
    """

    findings: tuple[Finding, ...]
    judged: tuple[str, ...]
    unknown: Mapping[str, str]


def lint_history(
    config: Config,
    history: History,
    judged: Sequence[Revision],
    *,
    context: DatabaseContext | None = None,
    one_plan: bool = False,
    record: Record | None = None,
) -> LintReport:
    """Judge revisions, without running them where their SQL can be written down.

    Args:
        config: Alembic's configuration of the history.
        history: all revisions.
        judged: those to judge; those before them are looked at for what they leave behind.
        context: the database that they will run on; where none is given, what the revisions before them build.
        one_plan: whether those to judge are released together, where no database is given.
        record: runs the history where Alembic cannot write it down.

    Raises:
        SqlUnreadable: a revision sends what PostgreSQL's parser refuses.
        RevisionUnreadable: a revision's waivers cannot be read.
    """
    script = ScriptDirectory.from_config(config)
    written = offline_statements(config, history.revisions, script=script)
    ids = {one.id for one in judged}
    if record is not None and ids & written.unknown.keys():
        written = _completed(written, history, record())
    before = [one for one in history.revisions if one.id not in ids]
    assumed = known_after(DatabaseContext(lock_timeout_set=True, one_plan=one_plan), _in_order(before, written))
    downgrades = offline_statements(config, history.revisions, downgrades=True, script=script)
    downgrade_findings = tuple(
        unfaithful_downgrades(history.revisions, written.statements, downgrades.statements, frozenset(ids))
    )
    sent = _in_order(judged, written)
    findings = lint_revisions(judged, sent, context or assumed, assumed, downgrade_findings, written.unknown.keys())
    unknown = {one.id: written.unknown[one.id] for one in judged if one.id in written.unknown}
    return LintReport(findings, tuple(one.id for one in judged), unknown)


def lint_revisions(
    revisions: Sequence[Revision],
    statements: Sequence[SourceStatement],
    context: DatabaseContext,
    assumed: DatabaseContext | None = None,
    downgrade_findings: Sequence[Finding] | None = None,
    unknown: Collection[str | None] = (),
) -> tuple[Finding, ...]:
    """Judge the statements of revisions, with the waivers and the downgrade that their files have.

    Args:
        revisions: what is judged, in order.
        statements: all that they send.
        context: the database that they will run on.
        downgrade_findings: downgrades that do not bring back what stood before; None where nobody looked.
        unknown: revisions whose statements cannot be told, and whose waivers so may cover what nobody sees.
        assumed: what is known of any database that they may run on; a waiver may cover what is a hazard there alone.

    Raises:
        SqlUnreadable, RevisionUnreadable: as `lint_history` does.
    """
    files = [read_file(one) for one in revisions]
    missing = [finding for file in files for finding in file.findings]
    # A downgrade that is not there tells no lie.
    absent = {one.revision for one in missing}
    told = [one for one in downgrade_findings or () if one.revision not in absent]
    found = [*judge(statements, context), *missing, *told]
    place = {revision.id: number for number, revision in enumerate(revisions)}
    waivers = [waiver for file in files for waiver in file.waivers]
    marked = apply_waivers(
        found,
        waivers,
        elsewhere=lambda: judge(statements, assumed or DatabaseContext(lock_timeout_set=True)),
        unjudged=lambda waiver: waiver.revision in unknown or (downgrade_findings is None and waiver.hazard == LIES.id),
    )
    return tuple(sorted(marked, key=lambda one: (place.get(one.revision or "", -1), one.line, one.hazard)))


def lint_recorded(
    revisions: Sequence[Revision], recorded: Mapping[str, Sequence[RecordedStatement]], context: DatabaseContext
) -> tuple[Finding, ...]:
    """Judge what revisions were recorded to send, as a plan has it.

    Args:
        revisions: what the plan applies, in order.
        recorded: their statements, by revision.
        context: the database that it is for, with `one_plan` and `lock_timeout_set`.

    Raises:
        SqlUnreadable, RevisionUnreadable: as `lint_history` does.
    """
    statements = [each for one in revisions for each in as_source_statements(one, recorded.get(one.id, ()))]
    return lint_revisions(revisions, statements, context)


def as_source_statements(revision: Revision, recorded: Iterable[RecordedStatement]) -> tuple[SourceStatement, ...]:
    """Recorded statements of a revision, to be judged; each is looked for in its file."""
    text = revision.path.read_text(encoding="utf-8")
    upgrade = text.count("\n", 0, max(text.find("def upgrade"), 0)) + 1
    result: list[SourceStatement] = []
    transaction: int | None = 0
    for number, one in enumerate(recorded):
        if not one.transactional:
            transaction = None
        elif transaction is None:
            transaction = number + 1
        line = line_of(one.sql, text, upgrade)
        result.append(SourceStatement(one.sql, revision.id, shown(revision.path), line, transaction, revision.phase))
    return tuple(result)


def _completed(
    written: OfflineStatements, history: History, recorded: Mapping[str, Sequence[RecordedStatement]]
) -> OfflineStatements:
    statements = dict(written.statements)
    for one in written.unknown:
        if one in recorded:
            statements[one] = as_source_statements(history.revision(one), recorded[one])
    unknown = {one: why for one, why in written.unknown.items() if one not in recorded}
    return OfflineStatements(statements, unknown)


def _in_order(revisions: Iterable[Revision], written: OfflineStatements) -> list[SourceStatement]:
    return [statement for one in revisions for statement in written.statements.get(one.id, ())]
