"""What Slack accepts as a message: the payload of an incoming webhook and the blocks in it, with their limits.

Source: Slack's Block Kit reference; the limits are those of its pages on each block.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

BLOCKS_LIMIT = 50
ATTACHMENTS_LIMIT = 100
MARKDOWN_LIMIT = 12_000


class _Part(BaseModel):
    # What is not modelled is kept as it came.
    model_config = ConfigDict(frozen=True, extra="allow")


class Text(_Part):
    """A text object: `mrkdwn` is Slack's own markup."""

    type: Literal["plain_text", "mrkdwn"]
    text: Annotated[str, Field(min_length=1, max_length=3000)]


class HeaderText(_Part):
    """The text of a header, which knows no markup."""

    type: Literal["plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=150)]


class FieldText(Text):
    """A text in the two columns of a section."""

    text: Annotated[str, Field(min_length=1, max_length=2000)]


class ButtonText(_Part):
    """What stands on a button."""

    type: Literal["plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=75)]


class Button(_Part):
    """A button; here only its text and its link are of interest."""

    type: Literal["button"]
    text: ButtonText
    action_id: Annotated[str, Field(max_length=255)] | None = None
    value: Annotated[str, Field(max_length=2000)] | None = None
    url: Annotated[str, Field(max_length=3000)] | None = None


class OtherElement(_Part):
    """An interactive element that the page does not draw."""

    type: Literal[
        "checkboxes", "datepicker", "overflow", "radio_buttons", "static_select", "timepicker", "users_select"
    ]


class ImageElement(_Part):
    """A small image in a context block."""

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

    type: Literal["section"]
    text: Text | None = None
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


class ImageBlock(_Block):
    """An image by its address."""

    type: Literal["image"]
    alt_text: Annotated[str, Field(min_length=1, max_length=2000)]
    image_url: Annotated[str, Field(max_length=3000)] | None = None


class OtherBlock(_Block):
    """A block that is kept, but that the page does not draw."""

    type: Literal["context_actions", "file", "rich_text", "table", "video"]


Block = Annotated[
    HeaderBlock | SectionBlock | ContextBlock | DividerBlock | MarkdownBlock | ActionsBlock | ImageBlock | OtherBlock,
    Field(discriminator="type"),
]


class Payload(BaseModel):
    """A message as a webhook takes it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    text: str | None = None
    blocks: Annotated[list[Block], Field(max_length=BLOCKS_LIMIT)] | None = None
    attachments: Annotated[list[dict[str, object]], Field(max_length=ATTACHMENTS_LIMIT)] | None = None

    @model_validator(mode="after")
    def _markdown_fits(self) -> Payload:
        if sum(len(block.text) for block in self.blocks or () if isinstance(block, MarkdownBlock)) > MARKDOWN_LIMIT:
            raise ValueError("the markdown blocks of a message may hold 12000 characters together")
        return self
