"""Acts that follow a step, such as reports and messages: a failure is noted, and changes nothing of what was done."""

import logging
from collections.abc import Callable

from tasks import notification, record
from tasks.errors import TaskError

log = logging.getLogger(__name__)


def attempt(release_id: str | None, trouble: str, act: Callable[[], object]) -> str:
    """Report or tidy up after a step; where that fails, the failure is a line in the ledger and a warning.

    Args:
        release_id: the ledger's row that takes the line; None where there is no row.
        trouble: what it means when it fails, such as `the report could not be published`.
        act: what to do.

    Returns:
        The warning; empty where all went well.
    """
    try:
        act()
    except Exception as error:
        warning = f"{trouble}: {error or type(error).__name__}"
        log.warning("%s", warning, exc_info=error)
        try:
            if release_id is not None:
                record.note(release_id, trouble, warning=warning)
        except Exception:
            log.exception("the ledger could not take a note: %s", warning)
        return warning
    return ""


def notify_slack(release_id: str, headline: str, facts: dict[str, str], *, text: str = "", next_step: str = "") -> str:
    """Tell Slack; that it could not be told is a line in the ledger, which sends it later.

    Returns:
        The warning; empty where Slack took it.
    """

    def tell() -> None:
        if not notification.tell(headline, facts, text=text, next_step=next_step, release_id=release_id):
            raise TaskError(f"it did not take: {headline}; the ledger keeps it until Slack does")

    return attempt(release_id, "Slack could not be told", tell)
