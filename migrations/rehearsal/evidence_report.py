"""Evidence for people: a page of markdown, and the locks as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from migrations.disclosure.normalized_statements import normalized
from migrations.rehearsal.compatibility.schema_comparison import Compatibility
from migrations.rehearsal.evidence import DowngradeResult, Evidence, RehearsedRevision

ROW, LEFT, WIDTH, TOP = 22, 330, 620, 34
STOPS_READS, STOPS_WRITES, HARMLESS = "#c0392b", "#e08e0b", "#7fa8c9"


def render(evidence: Evidence, *, blocking_budget_ms: float) -> str:
    """The evidence as markdown.

    Args:
        evidence: what was measured.
        blocking_budget_ms: the longest that a client may be made to wait.
    """
    problems = evidence.problems(blocking_budget_ms=blocking_budget_ms)
    lines = [
        f"# Rehearsal of plan {evidence.plan_digest[:12]}",
        "",
        (
            f"**{'Stops the release' if problems else 'Nothing speaks against the release'}** · budget"
            f" {blocking_budget_ms:.0f} ms"
        ),
        "",
        f"Go / no-go is about both: plan `{evidence.plan_digest}`, evidence `{evidence.digest}`.",
        "",
        *(f"- {problem}" for problem in problems),
        *([""] if problems else []),
        "| revision | phase | took | readers wait at most | writers wait at most | rows | rewritten | WAL | growth |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_revision(one) for one in evidence.revisions),
        "",
        f"Estimated downtime: {downtime(evidence)}.",
        "",
        f"Way back: {downgrades(evidence.way_back)}.",
        "",
        f"Running application: {compatibility(evidence.compatibility)}.",
        "",
        *_statements(evidence.compatibility),
        *_locks(evidence),
    ]
    return "\n".join(lines)


def downtime(evidence: Evidence) -> str:
    """How long users would be kept waiting, in a phrase."""
    reads = max((one.blocked_reads_ms for one in evidence.revisions), default=0.0)
    writes = max((one.blocked_writes_ms for one in evidence.revisions), default=0.0)
    if max(reads, writes) == 0:
        return "none, nothing that others use is blocked"
    return f"a request waits {reads:.0f} ms at most to read, {writes:.0f} ms at most to write"


def downgrades(found: DowngradeResult) -> str:
    """What the downgrades brought back, in a phrase."""
    named = "".join(f"; the downgrade of {one}" for one in found.by_revision[:5])
    if not found.ran:
        return f"there is none that works ({found.reason}){named}"
    if found.lossless:
        return "proven lossless: catalogue and rows were as before, and going up again gave the same"
    what = [*found.catalogue, *found.rows, *found.again]
    what += [f"{table} was too large to compare" for table in found.not_compared]
    return f"not proven lossless: {'; '.join(what[:5])}{named}"


def compatibility(found: Compatibility | None) -> str:
    """What the new schema means for the application that runs, in a phrase."""
    if found is None:
        return "cannot tell, its statements are not known (pg_stat_statements is missing)"
    told = f"{found.looked_at} statements looked at, {found.tried} of them with values that production holds"
    if found.broken:
        told += f", {len(found.broken)} break"
    elif found.looked_at:
        told += f", {'the others' if found.unknown else 'all'} work"
    if found.unknown:
        told += f"; cannot tell of {len(found.unknown)}"
    if found.unsure:
        told += f"; {len(found.unsure)} work with the values that were tried, and of other values it cannot be told"
    told += "".join(f"; cannot tell of all: {reason}" for reason in found.unseen)
    return told if found.plans_compared else f"{told}; plans cannot be compared before PostgreSQL 16"


def _revision(one: RehearsedRevision) -> str:
    rewritten = ", ".join(one.rewrites) or "-"
    return (
        f"| {one.revision} | {one.phase} | {one.duration_ms} ms | {one.blocked_reads_ms:.0f} ms |"
        f" {one.blocked_writes_ms:.0f} ms | {one.rows} | {rewritten} | {one.wal_bytes // 1024} kB |"
        f" {one.growth_bytes // 1024} kB |"
    )


def _statements(found: Compatibility | None) -> list[str]:
    if found is None:
        return []
    rows = [(one.trouble, one.statement, one.reason) for one in found.broken]
    rows += [("slower", statement, reason) for statement, reason in found.worse]
    rows += [("cannot tell", statement, reason) for statement, reason in (*found.unknown, *found.unsure)]
    if not rows:
        return []
    told = [
        f"| {verdict} | `{_cell(normalized(statement.query))}` | {statement.calls} | {_cell(reason)} |"
        for verdict, statement, reason in rows
    ]
    return ["| verdict | statement | calls | why |", "| --- | --- | --- | --- |", *told, ""]


def _locks(evidence: Evidence) -> list[str]:
    held = [(one.revision, lock) for one in evidence.revisions for lock in one.locks]
    if not held:
        return ["No lock was taken on anything that was there before.", ""]
    return [
        "| revision | lock | relation | held |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {one.lock.mode} | {one.lock.relation} | {one.held_ms:.1f} ms |" for name, one in held),
        "",
    ]


def _cell(text: str) -> str:
    short = " ".join(text.split())
    return (short if len(short) <= 200 else f"{short[:199]}…").replace("|", "\\|").replace("`", "'")


def timeline(evidence: Evidence) -> str:
    """The locks as a picture (SVG): a bar a lock, from when its statement began to when it was let go."""
    bars = [(one.revision, held) for one in evidence.revisions for held in one.locks]
    # Each revision is a trace of its own; they are laid one after the other.
    offsets = _offsets(evidence.revisions)
    total_s = max(offsets.values(), default=0.0) + max((held.until_s for _, held in bars), default=0.0) or 1.0
    height = TOP + ROW * max(len(bars), 1) + 30
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}"'
            ' font-family="sans-serif" font-size="12" role="img">'
        ),
        "<title>Locks of the rehearsal</title>",
        f'<rect width="100%" height="{height}" fill="white"/>',
        *_legend(),
    ]
    for number, (revision, held) in enumerate(bars):
        colour = STOPS_READS if held.lock.stops_reads else STOPS_WRITES if held.lock.stops_writes else HARMLESS
        left = LEFT + WIDTH * (offsets[revision] + held.from_s) / total_s
        width = max(2.0, WIDTH * (held.until_s - held.from_s) / total_s)
        top = TOP + ROW * number
        label = f"{revision} {held.lock.relation}"
        told = f"{label}: {held.lock.mode}, {held.held_ms:.1f} ms"
        parts += [
            f'<text x="8" y="{top + 14}">{escape(label[:48])}</text>',
            (
                f'<rect x="{left:.1f}" y="{top + 3}" width="{width:.1f}" height="{ROW - 8}" fill={quoteattr(colour)}>'
                f"<title>{escape(told)}</title></rect>"
            ),
            f'<text x="{left + width + 4:.1f}" y="{top + 14}">{held.held_ms:.1f} ms</text>',
        ]
    if not bars:
        parts.append(f'<text x="8" y="{TOP + 14}">no lock was taken on anything that was there before</text>')
    return "\n".join((*parts, "</svg>"))


def _offsets(revisions: Sequence[RehearsedRevision]) -> dict[str, float]:
    offsets: dict[str, float] = {}
    at = 0.0
    for one in revisions:
        offsets[one.revision] = at
        at += max((held.until_s for held in one.locks), default=one.duration_ms / 1000)
    return offsets


def _legend() -> list[str]:
    meaning = ((STOPS_READS, "stops reads and writes"), (STOPS_WRITES, "stops writes"), (HARMLESS, "stops neither"))
    return [
        f'<rect x="{8 + 190 * n}" y="8" width="12" height="12" fill="{colour}"/>'
        f'<text x="{26 + 190 * n}" y="18">{text}</text>'
        for n, (colour, text) in enumerate(meaning)
    ]
