"""Report: what a release did, as an artifact in the Prefect UI and a summary in the ledger."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from prefect.artifacts import create_markdown_artifact

from deployments.ledger import Message, MessageState, Release, Step
from deployments.redaction.redactor import redacted
from migrations.restore.receipt_of_writes import Receipt
from tasks import connections, notification
from tasks.acts import Act
from tasks.production_state import ProductionState
from tasks.step import step
from tasks.values import Verdict

_FATES: Final[Mapping[MessageState, str]] = {
    "waiting": "the ledger keeps it, and sends it when Slack takes it",
    "refused": "the message itself was refused; the ledger keeps it",
    "too old": "the ledger keeps it; it is too old to be sent",
    "sent": "told meanwhile",
}
AFFECTED_FROM = (Act.PROMOTE, Act.MIGRATE_PRODUCTION)
AFFECTED_UNTIL = (Act.MAINTENANCE_OFF, Act.ROLL_BACK_APPLICATION)


@step("report", timeout_s=120)
def publish(release_id: str, summary: str, verdicts: Sequence[Verdict], *, next_step: str = "") -> str:
    """Put the whole release into one markdown artifact, and return it.

    The artifact's key is the same for all releases of a target, so that each is the next version of the last.

    Args:
        summary: what became of it, in one line.
        verdicts: what was measured.
        next_step: what the reader should do; empty where there is nothing to do.
    """
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        release, steps, untold = ledger.release(release_id), ledger.steps(release_id), ledger.untold(release_id)
    markdown = redacted(render(release, steps, summary, verdicts, next_step, untold))
    create_markdown_artifact(markdown, key="release-report", description=redacted(summary))
    return markdown


def render(
    release: Release,
    steps: Iterable[Step],
    summary: str,
    verdicts: Sequence[Verdict],
    next_step: str = "",
    untold: Sequence[Message] = (),
) -> str:
    """The report as markdown."""
    lines = [
        f"# Release {release.id}",
        "",
        f"**{summary}**",
        "",
        *((f"What to do: {next_step}", "") if next_step else ()),
        f"- ref `{release.ref}`, commit `{release.commit_sha}`, target revision `{release.target_revision}`",
        f"- started {release.started_at:%Y-%m-%d %H:%M:%S} UTC by {release.requested_by or 'nobody named'}",
        *(f"- not told to Slack, which did not take it: {one.text} ({_FATES[one.state]})" for one in untold),
        "",
        "| check | measured | threshold | verdict | detail |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {v.check} | {v.measured} | {v.threshold} | {v.mark} | {_cell(v.detail)} |" for v in verdicts),
        "",
        "| step | began | took | outcome |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {began:%H:%M:%S} | {took} | {outcome} |" for name, began, took, outcome in timeline(steps)),
        "",
    ]
    return "\n".join(lines)


def timeline(steps: Iterable[Step]) -> tuple[tuple[str, datetime, str, str], ...]:
    """Pair each step's beginning with its end.

    Returns:
        Name, beginning, duration in seconds and outcome, in the order of their beginnings.
    """
    rows: list[tuple[str, datetime, str, str]] = []
    open_rows: dict[str, int] = {}
    for entry in steps:
        if entry.event == "begun":
            open_rows[entry.step] = len(rows)
            rows.append((entry.step, entry.at, "", "not finished"))
        elif entry.event == "noted":
            rows.append((entry.step, entry.at, "", "noted"))
        elif (at := open_rows.pop(entry.step, None)) is not None:
            began = rows[at][1]
            rows[at] = (entry.step, began, f"{(entry.at - began).total_seconds():.2f} s", entry.event)
    return tuple(rows)


def affected(failed_release_id: str, rollback_id: str, production: ProductionState) -> str:
    """For how long users were served by the failed release, or refused while it was put right.

    Args:
        failed_release_id: the release that changed production.
        rollback_id: the ledger's row of the rollback; the same one where the release rolled itself back.
        production: production as it is now: whoever is served by the failed build still is.
    """
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        failed = ledger.steps(failed_release_id)
        ended = [*failed, *(() if rollback_id == failed_release_id else ledger.steps(rollback_id))]
    return affected_words(failed, ended, production)


def affected_words(failed: Sequence[Step], ended: Sequence[Step], production: ProductionState) -> str:
    """The same, from the steps of the release that failed, and of it with those of what put it right."""
    began = [entry.at for entry in failed if entry.event == "done" and entry.step in AFFECTED_FROM]
    promoted = [entry for entry in failed if entry.step == Act.PROMOTE]
    refused = [entry.at for entry in ended if entry.step == Act.MAINTENANCE_ON and entry.event == "begun"]
    still: list[str] = []
    if promoted and production.deployment_id is None:
        still.append(f"whether the release's build still serves cannot be told; its promotion began {_at(promoted[0])}")
    elif promoted and any(production.deployment_id == entry.details.get("deployment") for entry in promoted):
        still.append(f"still: the release's build serves since {_at(promoted[0])}")
    if production.maintenance:
        still.append(f"still: writes are refused{f' since {refused[-1]:%H:%M:%S} UTC' if refused else ''}")
    if still:
        return "; ".join(still)
    until = [entry.at for entry in ended if entry.event == "done" and entry.step in AFFECTED_UNTIL]
    begins = min([*began, *refused], default=None)
    if begins is None or not until or max(until) <= begins:
        return "not at all"
    return notification.duration((max(until) - begins).total_seconds())


def _at(entry: Step) -> str:
    return f"{entry.at:%H:%M:%S} UTC"


def receipt_text(receipt: Receipt, *, since: datetime, elsewhere: Sequence[str] = ()) -> str:
    """What a restore has taken out of production, in one sentence.

    Args:
        receipt: what stands on the branch that keeps the state before it.
        since: when the restore point was sealed.
        elsewhere: the branches that keep what other restores have taken since then.
    """
    tables = ", ".join(f"{t.table} +{t.inserted} ~{t.updated} -{t.deleted}" for t in receipt.tables)
    by_revisions = f", and {receipt.by_revisions} by the revisions" if receipt.by_revisions else ""
    if receipt.unclear:
        by_revisions += f", and {receipt.unclear} by the revisions or by users, which cannot be told"
    notes = [*(f"{t.table}: {t.note}" for t in receipt.tables if t.note), *([receipt.note] if receipt.note else [])]
    more = "".join(f"; {one}" for one in notes)
    more += f"; not counted is what other restores have taken since: see {', '.join(elsewhere)}" if elsewhere else ""
    # The worker's: whoever reads the message may sit at another machine.
    listed = f", listed in {receipt.file.absolute()} on {socket.gethostname()}" if receipt.file and tables else ""
    return (
        f"since {since:%Y-%m-%d %H:%M} UTC {receipt.inserted} rows inserted, {receipt.updated} updated, "
        f"{receipt.deleted} deleted{by_revisions}{listed}"
        f"{': ' + tables if tables else ''}{more}"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
