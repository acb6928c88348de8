"""A plan for people: a page of markdown, and a document for machines."""

from collections.abc import Sequence
from dataclasses import asdict

from migrations.lint.findings import Finding
from migrations.plan.known_locks import strongest
from migrations.plan.planned_revisions import Plan, PlannedRevision
from migrations.recording.recorded_statements import RecordedStatement


def render(plan: Plan, findings: Sequence[Finding]) -> str:
    """The plan as markdown: every statement as it will run, its locks, and what the lint says."""
    hazards = [one for one in findings if one.waived_by is None]
    lines = [
        f"# Plan {plan.digest[:12]}",
        "",
        _extent(plan),
        "",
        f"**{counted(len(hazards), 'hazard')}, {len(findings) - len(hazards)} waived**",
        "",
        *(f"- `{one.revision}` {one.hazard}{_waived(one)}: {one.message}" for one in findings),
        *([""] if findings else []),
    ]
    for one in plan.revisions:
        lines += _revision(one)
    return "\n".join(lines)


def counted(number: int, what: str) -> str:
    """A number of things, in words for one and for several."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_document(plan: Plan, findings: Sequence[Finding]) -> dict[str, object]:
    """The plan for a machine; `ok` is false as soon as a hazard is not waived."""
    return {
        "ok": all(one.waived_by is not None for one in findings),
        "digest": plan.digest,
        "current": list(plan.current),
        "targets": list(plan.targets),
        "commit": plan.commit,
        "source": plan.source,
        "note": plan.note,
        "revisions": [
            {
                "revision": one.id,
                "message": one.message,
                "phase": one.phase,
                "declared": one.declared,
                "transactional": one.transactional,
                "checksum": one.checksum,
                "statements": [asdict(statement) for statement in one.statements],
                "way_back": None if one.downgrade is None else [statement.sql for statement in one.downgrade],
            }
            for one in plan.revisions
        ],
        "hazards": [asdict(one) for one in findings],
    }


def _extent(plan: Plan) -> str:
    begins, ends = ", ".join(plan.current) or "an empty database", ", ".join(plan.targets)
    return f"From {begins} to {ends}: {len(plan.expand)} expand, {len(plan.contract)} contract. {_source(plan)}"


def _source(plan: Plan) -> str:
    told = {
        "recorded": "Recorded on a throwaway database.",
        "offline": "Written by Alembic without a database; locks are those of PostgreSQL's documentation.",
    }[plan.source]
    return f"{told} {plan.note}".strip()


def _waived(finding: Finding) -> str:
    return f" (waived: {finding.waived_by})" if finding.waived_by else ""


def _revision(one: PlannedRevision) -> list[str]:
    kind = "one transaction" if one.transactional else "outside of a transaction"
    back = "none is known" if one.downgrade is None else counted(len(one.downgrade), "statement")
    statements = [line for statement in one.statements for line in _statement(statement)]
    return [
        f"## {one.id} ({one.phase}, {kind}; way back: {back})",
        "",
        one.message,
        "",
        "```sql",
        *statements,
        "```",
        "",
    ]


def _statement(statement: RecordedStatement) -> list[str]:
    locks = [f"-- {lock.mode} on {lock.relation}" for lock in strongest(statement.locks)]
    return [*locks, f"{statement.sql.rstrip().rstrip(';')};"]
