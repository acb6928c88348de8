"""Texts of others put into sentences: what they end with must not stand beside what goes on after them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_ENDS: Final = re.compile(r"(?<![.\s])[.;:,]\s*$")
_ENDED: Final = ("?", "!", "…", "...")


def clause(text: str) -> str:
    """A text that something may follow, such as a semicolon: without the full stop, or the like, that it ends with.

    Args:
        text: what somebody else says: an exception, a server, a service.
    """
    return _ENDS.sub("", text.strip()).removesuffix("!")


def clauses(texts: Iterable[str]) -> str:
    """Texts in a row, with a semicolon between."""
    return "; ".join(clause(text) for text in texts if text.strip())


def sentence(text: str) -> str:
    """A text that another sentence may follow: with one full stop, or with the mark that it ends with."""
    told = _ENDS.sub("", text.strip())
    return told if told.endswith(_ENDED) else f"{told}."
