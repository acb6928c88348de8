"""An incoming webhook like Slack's: it keeps what it was sent, shows it on a page, and answers as Slack does."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.local.slack.blocks import Payload
from deployments.local.slack.page import render_page

_log = logging.getLogger(__name__)


class KeptMessage(BaseModel):
    """A message and when it came."""

    model_config = ConfigDict(frozen=True)

    received_at: datetime
    payload: Payload


class _Refused(Exception):
    def __init__(self, answer: str) -> None:
        super().__init__(answer)
        self.answer = answer


class KeptMessages:
    """The messages of a webhook, in memory and in a file of one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._messages = [KeptMessage.model_validate_json(line) for line in lines]

    def keep(self, payload: Payload) -> None:
        """Append a message that came now."""
        message = KeptMessage(received_at=datetime.now(UTC), payload=payload)
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(message.model_dump_json(exclude_unset=True) + "\n")
            self._messages.append(message)

    def all(self) -> tuple[KeptMessage, ...]:
        """Return all messages, oldest first."""
        with self._lock:
            return tuple(self._messages)


def create_slack_app(*, webhook_path: str, kept: Path) -> FastAPI:
    """Make the application of one webhook.

    Args:
        webhook_path: where messages are taken, `/services/T…/B…/…`; any other such path answers `no_service`.
        kept: the file that the messages are appended to, and read from at the start.

    Returns:
        An application with the webhook, the page `/`, and `/messages`, the same as JSON.
    """
    messages = KeptMessages(kept)
    app = FastAPI(title="Slack webhook", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/services/{path:path}")
    async def post(request: Request) -> Response:
        if request.url.path != webhook_path:
            return PlainTextResponse("no_service", status_code=404)
        try:
            messages.keep(_accept(await request.body()))
        except _Refused as refused:
            return PlainTextResponse(refused.answer, status_code=400)
        return HTMLResponse("ok")

    @app.get("/messages")
    def listed() -> list[dict[str, object]]:
        return [
            {
                "received_at": message.received_at,
                "text": message.payload.text,
                **message.payload.model_dump(mode="json", exclude_unset=True),
            }
            for message in messages.all()
        ]

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(render_page([(message.received_at, message.payload) for message in messages.all()]))

    return app


def _accept(body: bytes) -> Payload:
    """Read a message, or refuse it in Slack's words.

    Source: the errors listed in Slack's guide to incoming webhooks.
    """
    try:
        raw: object = json.loads(body)
    except ValueError as error:
        raise _Refused("invalid_payload") from error
    if not isinstance(raw, dict):
        raise _Refused("invalid_payload")
    try:
        payload = Payload.model_validate(raw)
    except ValidationError as error:
        _log.info("A message for Slack does not fit: %s", error)
        raise _Refused(_word_for(error)) from error
    if not (payload.text or payload.blocks or payload.attachments):
        raise _Refused("no_text")
    return payload


def _word_for(error: ValidationError) -> str:
    where = {str(detail["loc"][0]) if detail["loc"] else "blocks" for detail in error.errors()}
    if "blocks" in where:
        return "invalid_blocks"
    too_many = any(detail["type"] == "too_long" for detail in error.errors())
    return "too_many_attachments" if "attachments" in where and too_many else "invalid_payload"
