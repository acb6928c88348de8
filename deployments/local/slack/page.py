"""The page that shows what a webhook was sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape, unescape
from typing import assert_never

from markdown_it import MarkdownIt

from deployments.local.slack.blocks import (
    ActionsBlock,
    Block,
    Button,
    ButtonText,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
    HeaderText,
    ImageBlock,
    MarkdownBlock,
    OtherBlock,
    Payload,
    RichTextBlock,
    SectionBlock,
    TableBlock,
    Text,
    VideoBlock,
)

_EMOJI = {
    "arrow_right": "➡️",
    "eyes": "👀",
    "hourglass_flowing_sand": "⏳",
    "information_source": "\N{INFORMATION SOURCE}\ufe0f",
    "large_green_circle": "🟢",
    "leftwards_arrow_with_hook": "↩️",
    "mag": "🔍",
    "no_entry": "⛔",
    "red_circle": "🔴",
    "rewind": "⏪",
    "rocket": "🚀",
    "rotating_light": "🚨",
    "tada": "🎉",
    "warning": "⚠️",
    "white_check_mark": "✅",
    "wrench": "🔧",
    "x": "❌",
}

_STYLE = """
body { font: 15px/1.47 system-ui, sans-serif; color: #1d1c1d; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
article { border-left: 4px solid #ddd; padding: .25rem 0 .25rem 1rem; margin: 1.5rem 0; }
time, .context { color: #616061; font-size: 13px; }
h2 { font-size: 18px; margin: .5rem 0; }
p { margin: .35rem 0; overflow-wrap: anywhere; white-space: pre-line; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: .35rem 1.5rem; }
code, pre { font-size: 13px; background: #f6f6f6; border: 1px solid #ddd; border-radius: 3px; }
code { color: #c01343; padding: 1px 3px; } pre { padding: .5rem; overflow-x: auto; white-space: pre-wrap; }
pre code { border: 0; color: inherit; padding: 0; }
blockquote { border-left: 4px solid #ddd; margin: 0; padding-left: .75rem; }
table { border-collapse: collapse; } td, th { border: 1px solid #ddd; padding: .2rem .6rem; text-align: left; }
hr { border: 0; border-top: 1px solid #ddd; }
.button { border: 1px solid #bbb; border-radius: 4px; padding: 2px 10px; margin-right: .5rem; }
"""

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

_MRKDWN = re.compile(
    r"```(?P<pre>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<url>(?:https?|mailto):[^|>\s]+)(?:\|(?P<label>[^>]*))?>"
    r"|(?<![\w*])\*(?P<bold>[^*\n]+)\*(?![\w*])"
    r"|(?<!\w)_(?P<italic>[^_\n]+)_(?!\w)"
    r"|(?<![\w~])~(?P<strike>[^~\n]+)~(?![\w~])"
    r"|:(?P<emoji>[a-z0-9_+-]+):",
    re.DOTALL,
)


def render_page(messages: Sequence[tuple[datetime, Payload]]) -> str:
    """Return the HTML page of the messages in the order given."""
    count = "one message" if len(messages) == 1 else f"{len(messages) or 'no'} messages"
    articles = "\n".join(_article(received_at, payload) for received_at, payload in messages)
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width"><meta http-equiv=refresh content=5>'
        f"<title>Slack: {count}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>Slack</h1><p class=context>The local platform's webhook was sent {count}.</p>\n"
        f"{articles}\n</body></html>\n"
    )


def mrkdwn(text: str) -> str:
    """Return Slack's markup as HTML, with everything else escaped."""
    parts: list[str] = []
    end = 0
    for match in _MRKDWN.finditer(text):
        parts += [_literal(text[end : match.start()]), _markup(match)]
        end = match.end()
    return "".join([*parts, _literal(text[end:])])


def _article(received_at: datetime, payload: Payload) -> str:
    when = received_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if payload.blocks:
        body = "\n".join(_block(block) for block in payload.blocks)
    else:
        body = f"<p>{mrkdwn(payload.text or '(attachments only)')}</p>"
    return f"<article><time>{when}</time>\n{body}\n</article>"


def _block(block: Block) -> str:
    match block:
        case HeaderBlock():
            return f"<h2>{_text(block.text)}</h2>"
        case SectionBlock():
            return _section(block)
        case ContextBlock():
            said = (_text(part) if isinstance(part, Text) else escape(part.alt_text) for part in block.elements)
            return f"<p class=context>{' '.join(said)}</p>"
        case DividerBlock():
            return "<hr>"
        case MarkdownBlock():
            return _markdown.render(block.text)
        case ActionsBlock():
            drawn = (_button(part) if isinstance(part, Button) else escape(f"[{part.type}]") for part in block.elements)
            return f"<p>{''.join(drawn)}</p>"
        case ImageBlock():
            return f"<p class=context>[image: {escape(block.alt_text)}]</p>"
        case OtherBlock() | RichTextBlock() | TableBlock() | VideoBlock():
            return f"<p class=context>[{escape(block.type)}]</p>"
        case _:
            assert_never(block)


def _section(block: SectionBlock) -> str:
    text = f"<p>{_text(block.text)}</p>" if block.text else ""
    fields = "".join(f"<p>{_text(field)}</p>" for field in block.fields or ())
    return text + (f"<div class=fields>{fields}</div>" if fields else "")


def _button(button: Button) -> str:
    text = _text(button.text)
    if button.url and button.url.startswith(("http://", "https://")):
        return f'<a class=button href="{escape(button.url)}">{text}</a>'
    return f"<span class=button>{text}</span>"


def _text(text: Text | HeaderText | ButtonText) -> str:
    return mrkdwn(text.text) if text.type == "mrkdwn" else _emoji(text.text)


def _literal(text: str) -> str:
    # In mrkdwn a sender writes & < > as entities.
    return escape(unescape(text))


def _emoji(text: str) -> str:
    return re.sub(r":([a-z0-9_+-]+):", lambda match: _EMOJI.get(match[1], match[0]), escape(text))


_MARKUP: dict[str, Callable[[str], str]] = {
    "pre": lambda inner: f"<pre>{_literal(inner.strip(chr(10)))}</pre>",
    "code": lambda inner: f"<code>{_literal(inner)}</code>",
    "bold": lambda inner: f"<b>{mrkdwn(inner)}</b>",
    "italic": lambda inner: f"<i>{mrkdwn(inner)}</i>",
    "strike": lambda inner: f"<s>{mrkdwn(inner)}</s>",
    "emoji": lambda inner: _EMOJI.get(inner, f":{inner}:"),
}


def _markup(match: re.Match[str]) -> str:
    if match["url"]:
        return f'<a href="{_literal(match["url"])}">{_literal(match["label"] or match["url"])}</a>'
    kind = str(match.lastgroup)
    return _MARKUP[kind](match[kind])
