"""Slack: an incoming webhook. What could not be told is logged; it never fails a release."""

import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import SecretStr
from slack_sdk.http_retry import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    RetryHandler,
)
from slack_sdk.http_retry.builtin_handlers import ServerErrorRetryHandler
from slack_sdk.webhook import WebhookClient, WebhookResponse

from deployments.redaction.redactor import learn, redacted, redacted_json

log = logging.getLogger(__name__)

# The SDK logs the address that it sends to, which is the secret: it gets a logger that no configuration can
# wake, since none knows of it.
_silent = logging.Logger("silent", level=logging.CRITICAL + 1)

TIMEOUT_S = 3
DEADLINE_S = 60
MAX_BLOCKS = 50
MAX_TEXT = 3000
# With another 4xx it is the webhook that Slack does not know or let in.
MESSAGE_AT_FAULT = 400


class Slack:
    """A channel that is told through its webhook."""

    def __init__(self, url: SecretStr) -> None:
        learn(url)
        self._url = url

    def post(self, text: str, blocks: Sequence[Mapping[str, Any]] = ()) -> bool:
        """Tell the channel.

        Args:
            text: what a notification shows; the whole message where there are no blocks.
            blocks: Block Kit blocks; those beyond what Slack takes are left out.

        Returns:
            Whether Slack took it.
        """
        return self.send(text, blocks) == "taken"

    def send(self, text: str, blocks: Sequence[Mapping[str, Any]] = ()) -> Literal["taken", "refused", "away"]:
        """The same, with why it was not taken.

        Returns:
            `refused` where the message itself is at fault, and `away` where it may be taken later: Slack does not
            answer, or does not take anything from this webhook.
        """
        handlers: list[RetryHandler] = [
            ConnectionErrorRetryHandler(max_retry_count=2),
            RateLimitErrorRetryHandler(max_retry_count=2),
            ServerErrorRetryHandler(max_retry_count=2),
        ]
        client = WebhookClient(self._url.get_secret_value(), timeout=TIMEOUT_S, retry_handlers=handlers, logger=_silent)
        text = redacted(text)
        shown = cast("list[dict[str, Any]]", redacted_json([dict(block) for block in blocks[:MAX_BLOCKS]])) or None
        answers: queue.SimpleQueue[WebhookResponse | Exception] = queue.SimpleQueue()

        def send() -> None:
            try:
                answers.put(client.send(text=text[:MAX_TEXT], blocks=shown))
            except Exception as error:
                answers.put(error)

        # The SDK bounds a single read, and not the whole: it is left behind where it takes too long.
        threading.Thread(target=send, name="telling Slack", daemon=True).start()
        try:
            answer = answers.get(timeout=DEADLINE_S)
        except queue.Empty:
            answer = TimeoutError()
        if isinstance(answer, Exception):
            # The SDK raises whatever urllib does, with the address in it: only its kind is told.
            log.warning("Slack was not told (%s): %s", type(answer).__name__, text)
            return "away"
        if answer.status_code != 200:
            log.warning("Slack refused (%s %s): %s", answer.status_code, answer.body[:100], text)
            return "refused" if answer.status_code == MESSAGE_AT_FAULT else "away"
        return "taken"
