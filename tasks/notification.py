"""What Slack is told: short enough to be understood at three in the morning. Slack never fails a release."""

import logging
import re
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from deployments.ledger import LedgerError, Outbox
from tasks import connections
from tasks.step import step

log = logging.getLogger(__name__)

Block = dict[str, JsonValue]
_PART_OF_AN_ENTITY = re.compile(r"&[a-z]*$")


@step("tell Slack", timeout_s=240, retries=0)
def tell(
    headline: str,
    facts: Mapping[str, str],
    *,
    text: str = "",
    next_step: str = "",
    release_id: str | None = None,
    fact: str | None = None,
) -> bool:
    """Post one message: a headline, the facts as fields, what happened, and what to do now.

    It is kept in the ledger first: where Slack does not take it, the next message and the watchdog send it. What Slack
    was not told before goes first.

    Args:
        headline: one line; it is what a phone shows.
        facts: label and value; empty values are left out.
        text: what happened, in a sentence or a list.
        next_step: what the reader should do; empty where there is nothing to do.
        release_id: the release that it tells of; None where it tells of none.
        fact: what it tells, where that is told once.

    Returns:
        Whether Slack took it. A message that could not be delivered is logged and never raises.
    """
    given = connections.settings()
    slack, blocks = connections.slack(given), message(headline, facts, text, next_step)
    try:
        with connections.ledger(given) as ledger:
            return Outbox(ledger, given.target, slack).tell(headline, blocks, release_id=release_id, fact=fact)
    except LedgerError as error:
        # Whether it was sent before the ledger failed is not known: better told twice than not at all.
        log.warning("the ledger keeps no messages now, Slack is told without it: %s", error)
        return slack.post(headline, blocks)


@step("deliver messages", timeout_s=240, retries=0)
def deliver_kept() -> bool:
    """Send what Slack did not take before.

    Returns:
        Whether nothing is left.
    """
    given = connections.settings()
    with connections.ledger(given) as ledger:
        return Outbox(ledger, given.target, connections.slack(given)).deliver() == "done"


def message(headline: str, facts: Mapping[str, str], text: str, next_step: str) -> Sequence[Block]:
    """The blocks of one message."""
    blocks: list[Block] = [{"type": "header", "text": {"type": "plain_text", "text": headline[:150]}}]
    fields: list[JsonValue] = [
        {"type": "mrkdwn", "text": fitting(f"*{label}*\n", value, 2000)} for label, value in facts.items() if value
    ]
    blocks.extend({"type": "section", "fields": fields[start : start + 10]} for start in range(0, len(fields), 10))
    if text:
        blocks.append(_section("", text))
    if next_step:
        blocks.append(_section("*What to do:* ", next_step))
    return blocks


def escape(text: str) -> str:
    """Text as Slack's mrkdwn takes it literally."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fitting(before: str, text: str, limit: int) -> str:
    """Text as Slack's mrkdwn takes it, cut where it is too long, and never within what stands for one character.

    Args:
        before: our own markup in front of it.
        text: as it is, not escaped.
        limit: characters that Slack takes, the markup among them.
    """
    whole = before + escape(text)
    return whole if len(whole) <= limit else _PART_OF_AN_ENTITY.sub("", whole[: limit - 1]) + "…"


def _section(before: str, text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": fitting(before, text, 3000)}}


def duration(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
