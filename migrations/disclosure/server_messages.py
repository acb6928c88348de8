"""What PostgreSQL says of a failure, without a row's value: its constraint, its table and its column tell enough.

Details, contexts and hints are left out: they quote rows, statements and connection strings. What a function raises may
quote a row as well: it is told as it stands in the statement, with … in the place of each value, and otherwise by the
function's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

_MASK: Final = "***"
# Stands where a message held what its author did not spell.
LEFT_OUT: Final = "…"
# Source: class 22 (data exception) quotes what could not be read as a value.
_OF_DATA: Final = "22"
_OF_FUNCTIONS: Final = "P0"
_DUPLICATE: Final = "23505"
_SYNTAX: Final = "42601"
# Source: PL/pgSQL's RAISE, whatever SQLSTATE it is given.
_RAISE: Final = "exec_stmt_raise"
_RAISES: Final = re.compile(r"\bRAISE\b", re.IGNORECASE)
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
# A shorter piece of a statement says nothing, and may be in a row by chance.
_SENTENCE: Final = 4
_QUOTED: Final = re.compile(r"[\"«„“].*[\"»“”]", re.DOTALL)
_NEAR: Final = re.compile(r"[A-Za-z_]{1,30}|[^\w\s\"']{1,3}")


def safe_message(error: BaseException, statement: str = "") -> str:
    """A driver's error as a message that holds no row's value and no literal.

    Args:
        error: of psycopg, or of another driver.
        statement: what was sent, where it is known.
    """
    diag: Any = getattr(error, "diag", None)
    state = sqlstate_of(error)
    message = getattr(diag, "message_primary", None)
    if message is None:
        # Without a server's answer, the driver speaks of the connection; other drivers put the details on lines.
        first = re.sub(r"^<class '[^']*'>: ", "", (str(error).strip() or type(error).__name__).splitlines()[0])
        return _primary(first, state or "", None, statement) if state else str(error).strip() or first
    told = _primary(str(message), state or "", diag, statement)
    return "; ".join((told, *_named(diag, state, told)))


def sqlstate_of(error: BaseException | None) -> str | None:
    """The SQLSTATE of a driver's error; None where it has none."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return str(state) if state else None


def _primary(message: str, state: str, diag: Any, statement: str) -> str:
    if getattr(diag, "source_function", None) == _RAISE or state.startswith(_OF_FUNCTIONS):
        return _as_written(message, statement) or _raised(diag)
    if state.startswith(_OF_DATA):
        return _QUOTED.sub(f'"{_MASK}"', re.sub(r"\b0x[0-9a-f]{2}\b", _MASK, message))
    if state == _SYNTAX:
        return re.sub(r'"(.*)"', lambda found: _near(found, statement), message, flags=re.DOTALL)
    return message


def _as_written(message: str, statement: str) -> str:
    """What of a message stands in the statement to the letter, with … for the rest; empty where nothing does."""
    if _RAISES.search(statement) is None or "password" in statement.lower():
        return ""
    # The body of a function may stand between single quotes, each of its own doubled.
    literals = [found[1] for text in (statement, statement.replace("''", "'")) for found in _LITERAL.finditer(text)]
    return literal_parts(message, [part for one in literals for part in one.replace("''", "'").split("%")])


def literal_parts(message: str, literals: Iterable[str]) -> str:
    """The parts of a message that stand in literals, with … for the rest; empty where nothing does.

    Args:
        message: any text.
        literals: the texts that its author has written, or pieces of them.
    """
    written = [False] * len(message)
    for part in {one for one in literals if len(one.strip()) >= _SENTENCE}:
        for found in re.finditer(re.escape(part), message):
            written[found.start() : found.end()] = [True] * len(part)
    if not any(written):
        return ""
    # A sign or two between pieces of the statement, such as quotes, are nobody's value.
    marked = groupby(zip(message, written, strict=True), itemgetter(1))
    runs = ((shown, "".join(one for one, _ in run)) for shown, run in marked)
    return "".join(run if shown or re.fullmatch(r"\W{1,2}", run) else LEFT_OUT for shown, run in runs)


def _near(found: re.Match[str], statement: str) -> str:
    """A word of a statement may be one of a literal whose quotes are wrong."""
    is_word = _NEAR.fullmatch(found[1]) is not None and "password" not in statement.lower()
    return found[0] if is_word else f'"{_MASK}"'


def _raised(diag: Any) -> str:
    context = str(getattr(diag, "context", None) or "").splitlines()
    within = re.match(r"PL/pgSQL (function [^\n]*?|inline_code_block) line (\d+)", context[0]) if context else None
    where = f"{within[1].replace('inline_code_block', 'a DO block')}, line {within[2]}," if within else "a function"
    return f"{where} raised an exception, whose words may hold rows' values and are left out"


def _named(diag: Any, state: str | None, told: str) -> list[str]:
    """What an error is about, as far as its message does not name it."""
    names = {kind: getattr(diag, f"{kind}_name") for kind in ("constraint", "table", "column")}
    found = [f'{kind} "{name}"' for kind, name in names.items() if name and f'"{name}"' not in told]
    named = found if (state or "").startswith("23") else []
    detail = str(diag.message_detail or "")
    if state == _DUPLICATE and ")=(" in detail:
        named.append(detail.partition(")=(")[0] + ")")
    return named
