"""What Slack was told of releases: each fact once, whichever message tells it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_FACTS = (
    (r" failed$| is held for a person$| did not start$", "it failed"),
    (r" succeeded$| was rolled back$| is held for a person$| did not start$| a person is needed$", "how it ended"),
)
# Each run of a release is a fact of its own.
_OF_A_RUN = re.compile(r"^Recovery of .* begins$| was told to stop$")
_LATE = re.compile(r"^\[[^]]* UTC\] ")


def assert_told_once(messages: Iterable[Mapping[str, Any]], *, sent_again: bool = False) -> None:
    """Each fact of a release, or of a rollback, was told once.

    Args:
        messages: what Slack took, in its order.
        sent_again: whether Slack may have got one message twice, as a reply of its was lost.
    """
    taken = list(messages)
    if sent_again:
        taken = list({f"{_headline(one)} {_ids(one)}": one for one in taken}.values())
    told = Counter(fact for message in taken for fact in _facts(message))
    twice = [f"{row}: {fact}" for (row, fact), number in told.items() if number > 1]
    assert not twice, f"told more than once: {twice}, by {[_headline(one) for one in taken]}"


def _facts(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    headline, row = _headline(message), _row(message)
    if row is None or _OF_A_RUN.search(headline):
        return
    yield row, headline
    for pattern, fact in _FACTS:
        if re.search(pattern, headline):
            yield row, fact


def _headline(message: Mapping[str, Any]) -> str:
    return _LATE.sub("", str(message["text"]))


def _row(message: Mapping[str, Any]) -> str | None:
    """The row of the ledger that a message is about: the rollback's own, where it names one beside its release."""
    ids = _ids(message)
    return ids.get("Rollback") or ids.get("Ledger") or ids.get("Release")


def _ids(message: Mapping[str, Any]) -> dict[str, str]:
    fields = [field["text"] for block in message.get("blocks", ()) for field in block.get("fields", ())]
    named = (re.fullmatch(r"\*(Release|Rollback|Ledger)\*\n(.*)", text) for text in fields)
    return {found[1]: found[2] for found in named if found}
