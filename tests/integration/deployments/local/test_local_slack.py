"""The webhook: what it takes, what it refuses in Slack's words, what its page shows."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
    MarkdownBlock,
    MarkdownTextObject,
    SectionBlock,
)

from deployments.local.hosting.servers import HttpServer
from deployments.local.slack.page import mrkdwn
from deployments.local.slack.webhook import create_slack_app

WEBHOOK = "/services/T0LOCAL/B0LOCAL/secret"
SECTION: dict[str, object] = {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}

WORDS: dict[str, object] = {"type": "plain_text", "text": "hello"}
BUTTON: dict[str, object] = {"type": "button", "text": WORDS}


@contextmanager
def _webhook(kept: Path) -> Generator[httpx.Client]:
    app = create_slack_app(webhook_path=WEBHOOK, kept=kept)
    with HttpServer("slack", app) as server, httpx.Client(base_url=server.url) as client:
        yield client


def _as_json(block: Block) -> object:
    return block.to_dict()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with _webhook(tmp_path / "slack.jsonl") as client:
        yield client


def test_a_message_is_kept_and_answered_with_ok(client: httpx.Client, tmp_path: Path) -> None:
    reply = client.post(WEBHOOK, json={"text": "released", "blocks": [SECTION], "unfurl_links": False})
    assert (reply.status_code, reply.text, reply.headers["content-type"]) == (200, "ok", "text/html; charset=utf-8")
    with _webhook(tmp_path / "slack.jsonl") as again:
        kept_after_restart = again.get("/messages").json()
    for listed in client.get("/messages").json(), kept_after_restart:
        assert [message.pop("received_at")[:2] for message in listed] == ["20"]
        assert listed == [{"text": "released", "blocks": [SECTION], "unfurl_links": False}]


REFUSED: list[tuple[object, str]] = [
    (7, "invalid_payload"),
    ({"text": 7}, "invalid_payload"),
    ({"mrkdwn": True}, "no_text"),
    ({"text": ""}, "no_text"),
    ({"text": "x", "attachments": [{"text": "y"}] * 101}, "too_many_attachments"),
    ({"blocks": [SECTION] * 51}, "invalid_blocks"),
    ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
    ({"blocks": [{"type": "unknown"}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}]}, "invalid_blocks"),
    ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}]}, "invalid_blocks"),
    ({"blocks": [{"type": "markdown", "text": "x" * 6001}] * 2}, "invalid_blocks"),
    ({"blocks": [{**SECTION, "block_id": "a"}] * 2}, "invalid_blocks"),
    ({"blocks": [{**SECTION, "colour": "red"}]}, "invalid_blocks"),
    ({"blocks": [{**SECTION, "accessory": {"type": "lever"}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "text": {**WORDS, "colour": "red"}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "text": {**WORDS, "type": "mrkdwn", "emoji": True}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "section", "text": {**WORDS, "verbatim": True}}]}, "invalid_blocks"),
    ({"blocks": [{"type": "actions", "elements": [{**BUTTON, "action_id": "a"}] * 2}]}, "invalid_blocks"),
    ({"blocks": [{"type": "actions", "elements": [{**BUTTON, "style": "loud"}]}]}, "invalid_blocks"),
    ({"blocks": [{"type": "actions", "elements": [{**BUTTON, "url": "the run"}]}]}, "invalid_blocks"),
    ({"blocks": [{"type": "image", "alt_text": "x"}]}, "invalid_blocks"),
    ({"blocks": [{"type": "context", "elements": [{"type": "image", "alt_text": "x"}]}]}, "invalid_blocks"),
    ({"blocks": [{"type": "rich_text", "elements": []}]}, "invalid_blocks"),
    ({"blocks": [{"type": "table"}]}, "invalid_blocks"),
    ({"blocks": [{"type": "video", "title": WORDS, "alt_text": "x"}]}, "invalid_blocks"),
    ({"blocks": "no list"}, "invalid_blocks"),
    ({"text": "x", "attachments": [{}]}, "invalid_payload"),
]


@pytest.mark.parametrize(("payload", "answer"), REFUSED)
def test_a_message_slack_would_refuse_is_refused_in_its_words(
    client: httpx.Client, payload: object, answer: str
) -> None:
    reply = client.post(WEBHOOK, json=payload)
    assert (reply.status_code, reply.text) == (400, answer)
    assert reply.headers["content-type"].startswith("text/plain")
    assert client.get("/messages").json() == []


@pytest.mark.parametrize(
    "blocks",
    [
        json.dumps([SECTION]),
        [{"type": "actions", "elements": [{"type": "datetimepicker"}, {"type": "conversations_select"}]}],
        [{"type": "actions", "elements": [{**BUTTON, "action_id": one} for one in ("a", "b")]}],
        [{"type": "actions", "elements": [{**BUTTON, "style": "danger", "url": "https://x.example/1"}]}],
        [{**SECTION, "accessory": {"type": "image", "image_url": "https://x.example/1.png", "alt_text": "x"}}],
        [{"type": "section", "text": {**WORDS, "emoji": True}, "expand": True}],
    ],
)
def test_a_message_slack_takes_is_taken(client: httpx.Client, blocks: object) -> None:
    assert client.post(WEBHOOK, json={"blocks": blocks}).text == "ok"
    assert client.get("/messages").json()[0]["blocks"]


def test_a_body_that_is_no_json_is_refused(client: httpx.Client) -> None:
    reply = client.post(WEBHOOK, content=b"payload")
    assert (reply.status_code, reply.text) == (400, "invalid_payload")


def test_another_webhook_is_no_service(client: httpx.Client) -> None:
    reply = client.post("/services/T0LOCAL/B0LOCAL/guess", json={"text": "x"})
    assert (reply.status_code, reply.text) == (404, "no_service")


def test_the_page_shows_every_kind_of_block_newest_last(client: httpx.Client) -> None:
    blocks = [
        HeaderBlock(text="Release of v2 :white_check_mark:"),
        SectionBlock(text="*P95* is `12 ms`, see <http://127.0.0.1:9/run?a=1&amp;b=2|the run>"),
        SectionBlock(fields=[MarkdownTextObject(text="*Ref*\nv2"), MarkdownTextObject(text="*By* _nobody_")]),
        DividerBlock(),
        ContextBlock(elements=[MarkdownTextObject(text="release 7")]),
        MarkdownBlock(text="| a | b |\n|---|---|\n| 1 | **2** |\n\n<script>alert(1)</script>"),
    ]
    client.post(WEBHOOK, json={"text": "first <script>alert(1)</script>"})
    client.post(WEBHOOK, json={"text": "second", "blocks": [_as_json(block) for block in blocks]})
    page = client.get("/").text
    assert page.index("first") < page.index("Release of v2")
    for expected in (
        "<h2>Release of v2 ✅</h2>",
        '<b>P95</b> is <code>12 ms</code>, see <a href="http://127.0.0.1:9/run?a=1&amp;b=2">the run</a>',
        "<p><b>Ref</b>\nv2</p><p><b>By</b> <i>nobody</i></p>",
        "<hr>",
        "<p class=context>release 7</p>",
        "<td><strong>2</strong></td>",
    ):
        assert expected in page
    assert "<script" not in page
    assert "2 messages" in page


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a_b_c and 2*3*4 stay", "a_b_c and 2*3*4 stay"),
        ("&lt;b&gt; &amp; <b>", "&lt;b&gt; &amp; &lt;b&gt;"),
        ("<javascript:alert(1)|x>", "&lt;javascript:alert(1)|x&gt;"),
        ('<https://x/"onclick="y>', '<a href="https://x/&quot;onclick=&quot;y">https://x/&quot;onclick=&quot;y</a>'),
        ("```\n*raw*\n```", "<pre>*raw*</pre>"),
        ("~old~ :unknown:", "<s>old</s> :unknown:"),
    ],
)
def test_markup_becomes_html_and_everything_else_is_escaped(text: str, html: str) -> None:
    assert mrkdwn(text) == html
