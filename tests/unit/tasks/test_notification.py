"""What Slack is told fits into what it takes, and stays readable where it is cut."""

import html

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.notification import escape, fitting, message

TEXTS = st.text(alphabet="<&>ab ;", max_size=40)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, limit=st.integers(min_value=12, max_value=60))
def test_cut_text_is_a_beginning_of_the_whole_with_no_character_halved(text: str, limit: int) -> None:
    told = fitting("*Why*\n", text, limit)
    assert len(told) <= limit
    assert told.startswith("*Why*\n")
    if len("*Why*\n" + escape(text)) <= limit:
        assert html.unescape(told) == f"*Why*\n{text}"
    else:
        shown = told.removeprefix("*Why*\n").removesuffix("…")
        assert text.startswith(html.unescape(shown))
        assert escape(html.unescape(shown)) == shown


def test_every_part_of_a_message_is_within_slacks_limits() -> None:
    header, fields, text, next_step = message("x" * 200, {"What failed": "<" * 3000}, "&" * 3000, ">" * 3000)
    assert len(header["text"]["text"]) == 150  # pyright: ignore[reportArgumentType, reportCallIssue, reportIndexIssue, reportOptionalSubscript]
    shown = str(fields) + str(text) + str(next_step)
    assert shown.count("…") == 3
    assert "&l…" not in shown
    assert "&am…" not in shown
