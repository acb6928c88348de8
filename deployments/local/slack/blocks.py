"""What Slack accepts as a message: the payload of an incoming webhook and the blocks in it, with their limits.

Source: Slack's Block Kit reference; the limits are those of its pages on each block.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

BLOCKS_LIMIT = 50
ATTACHMENTS_LIMIT = 100
MARKDOWN_LIMIT = 12_000


class _Part(BaseModel):
    # What is not modelled is kept as it came.
    model_config = ConfigDict(frozen=True, extra="allow")


Url = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://\S+$|^mailto:\S+$", max_length=3000)]


class _Text(_Part):
    model_config = ConfigDict(frozen=True, extra="forbid")

    emoji: bool | None = None
    verbatim: bool | None = None

    @model_validator(mode="after")
    def _knows_its_own(self) -> Self:
        kind = getattr(self, "type", None)
        if (kind == "mrkdwn" and self.emoji is not None) or (kind == "plain_text" and self.verbatim is not None):
            raise ValueError("emoji belongs to plain_text, verbatim to mrkdwn")
        return self


class Text(_Text):
    """A text object: `mrkdwn` is Slack's own markup."""

    type: Literal["plain_text", "mrkdwn"]
    text: Annotated[str, Field(min_length=1, max_length=3000)]


class HeaderText(_Text):
    """The text of a header, which knows no markup."""

    type: Literal["plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=150)]


class FieldText(Text):
    """A text in the two columns of a section."""

    text: Annotated[str, Field(min_length=1, max_length=2000)]


class ButtonText(_Text):
    """What stands on a button."""

    type: Literal["plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=75)]


class Button(_Part):
    """A button; here only its text and its link are of interest."""

    type: Literal["button"]
    text: ButtonText
    action_id: Annotated[str, Field(max_length=255)] | None = None
    value: Annotated[str, Field(max_length=2000)] | None = None
    url: Url | None = None
    style: Literal["primary", "danger"] | None = None


class OtherElement(_Part):
    """An interactive element that the page does not draw."""

    type: Literal[
        "channels_select",
        "checkboxes",
        "conversations_select",
        "datepicker",
        "datetimepicker",
        "external_select",
        "multi_channels_select",
        "multi_conversations_select",
        "multi_external_select",
        "multi_static_select",
        "multi_users_select",
        "overflow",
        "radio_buttons",
        "static_select",
        "timepicker",
        "users_select",
        "workflow_button",
    ]
    action_id: Annotated[str, Field(max_length=255)] | None = None


class _Image(_Part):
    image_url: Url | None = None
    slack_file: dict[str, object] | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if (self.image_url is None) == (self.slack_file is None):
            raise ValueError("an image needs an image_url or a slack_file")
        return self


class ImageElement(_Image):
    """A small image in a context block, or beside a section."""

    type: Literal["image"]
    alt_text: Annotated[str, Field(min_length=1, max_length=2000)]


class _Block(_Part):
    block_id: Annotated[str, Field(max_length=255)] | None = None


class HeaderBlock(_Block):
    """A line in large type."""

    type: Literal["header"]
    text: HeaderText


class SectionBlock(_Block):
    """A text, or up to ten fields in two columns, or both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["section"]
    text: Text | None = None
    accessory: Annotated[Button | OtherElement | ImageElement, Field(discriminator="type")] | None = None
    expand: bool | None = None
    fields: Annotated[list[FieldText], Field(min_length=1, max_length=10)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> SectionBlock:
        if self.text is None and self.fields is None:
            raise ValueError("a section needs a text or fields")
        return self


class ContextBlock(_Block):
    """Small print."""

    type: Literal["context"]
    elements: Annotated[
        list[Annotated[Text | ImageElement, Field(discriminator="type")]], Field(min_length=1, max_length=10)
    ]


class DividerBlock(_Block):
    """A line across."""

    type: Literal["divider"]


class MarkdownBlock(_Block):
    """Ordinary Markdown."""

    type: Literal["markdown"]
    text: Annotated[str, Field(min_length=1, max_length=MARKDOWN_LIMIT)]


class ActionsBlock(_Block):
    """Buttons and the like."""

    type: Literal["actions"]
    elements: Annotated[
        list[Annotated[Button | OtherElement, Field(discriminator="type")]], Field(min_length=1, max_length=25)
    ]


class ImageBlock(_Block, _Image):
    """An image by its address."""

    type: Literal["image"]
    alt_text: Annotated[str, Field(min_length=1, max_length=2000)]


class RichTextBlock(_Block):
    """Text in parts; the page does not draw it."""

    type: Literal["rich_text"]
    elements: Annotated[list[dict[str, object]], Field(min_length=1)]


class TableBlock(_Block):
    """Rows of cells; the page does not draw it."""

    type: Literal["table"]
    rows: Annotated[list[Annotated[list[dict[str, object]], Field(max_length=20)]], Field(min_length=1, max_length=100)]


class VideoBlock(_Block):
    """A video with its picture; the page does not draw it."""

    type: Literal["video"]
    title: Text
    alt_text: Annotated[str, Field(min_length=1)]
    video_url: Url
    thumbnail_url: Url


class OtherBlock(_Block):
    """A block that is kept, but that the page does not draw."""

    type: Literal["context_actions", "file"]


Block = Annotated[
    HeaderBlock
    | SectionBlock
    | ContextBlock
    | DividerBlock
    | MarkdownBlock
    | ActionsBlock
    | ImageBlock
    | RichTextBlock
    | TableBlock
    | VideoBlock
    | OtherBlock,
    Field(discriminator="type"),
]


class Payload(BaseModel):
    """A message as a webhook takes it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    text: str | None = None
    blocks: Annotated[list[Block], Field(max_length=BLOCKS_LIMIT)] | None = None
    attachments: (
        Annotated[list[Annotated[dict[str, object], Field(min_length=1)]], Field(max_length=ATTACHMENTS_LIMIT)] | None
    ) = None

    @field_validator("blocks", mode="before")
    @classmethod
    def _parsed(cls, given: object) -> object:
        """Blocks may be given as a string of JSON."""
        return json.loads(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _names_are_given_once(self) -> Payload:
        blocks = self.blocks or ()
        named = [block.block_id for block in blocks if block.block_id]
        actions = [[one.action_id for one in block.elements if one.action_id] for block in _actions(blocks)]
        for names in (named, *actions):
            if len(set(names)) != len(names):
                raise ValueError("a block_id is given once in a message, an action_id once in a block")
        return self

    @model_validator(mode="after")
    def _markdown_fits(self) -> Payload:
        if sum(len(block.text) for block in self.blocks or () if isinstance(block, MarkdownBlock)) > MARKDOWN_LIMIT:
            raise ValueError("the markdown blocks of a message may hold 12000 characters together")
        return self


def _actions(blocks: Iterable[Block]) -> Iterable[ActionsBlock]:
    return (block for block in blocks if isinstance(block, ActionsBlock))
