"""Normalized statements: their text with `$1` and so on in place of values, so that they can be shown."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import postgast
from postgast import pg_query_pb2 as pb

_COMMENTS: Final = frozenset({int(pb.SQL_COMMENT), int(pb.C_COMMENT)})
_LITERALS: Final = frozenset(map(int, (pb.SCONST, pb.USCONST, pb.BCONST, pb.XCONST, pb.ICONST, pb.FCONST)))
_PUNCTUATION: Final = frozenset({",", "("})
_ASSIGNS: Final = frozenset({"=", "TO"})
# What the server's own process says of itself.
_AUTOVACUUM: Final = re.compile(r'autovacuum: [\w ".()]*')
# Where one of these stands in what cannot be read, it may be that something else is the literal.
_UNSURE: Final = frozenset({*_LITERALS, int(pb.PASSWORD)})
_CUT: Final = " …"
_OWN: Final = re.compile(r"[A-Za-z]*(?: [A-Za-z]+)? …")
_SHOWN: Final = 500
# Words alone are told of what cannot be read: names may follow them, and no values.
_FIRST_WORDS: Final = re.compile(
    r"(?:\s+|--[^\n]*\n?|/\*.*?\*/)*([A-Za-z]+(?:\s+(?:TABLE|INDEX|VIEW|ROLE|USER|INTO|FROM|FUNCTION|SCHEMA|TYPE)\b)?)",
    re.DOTALL | re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def normalized(statement: str) -> str:
    """A statement on one line, `$1` and so on in the place of its values, without comments.

    Args:
        statement: any text that was sent to PostgreSQL; what its parser cannot read, such as a text that was cut
            off, is told by its first words alone.
    """
    if _AUTOVACUUM.fullmatch(statement):
        return statement
    if _OWN.fullmatch(statement):
        return statement
    try:
        tokens = postgast.scan(statement).tokens
        if not _is_read(statement) and any(token.token in _UNSURE for token in tokens):
            return _first_words(statement)
    except (postgast.PgQueryError, UnicodeError, ValueError):
        return _first_words(statement)
    encoded = statement.encode()
    number = max((int(one) for one in re.findall(r"\$(\d+)", statement)), default=0)
    parts: list[str] = []
    end, sets, hides = 0, False, False
    for token in tokens:
        if token.token in _COMMENTS:
            continue
        word = encoded[token.start : token.end].decode(errors="replace")
        begins = not parts or parts[-1].strip() == ";"
        sets = word.upper() in {"SET", "ALTER"} if begins else sets
        hides = False if word in {";", ")"} else hides
        if token.token in _LITERALS or (hides and word not in _PUNCTUATION and not word.startswith("$")):
            number += 1
            word = f"${number}"
        gap = " " if parts and token.start > end else ""
        parts.append(gap + word)
        end = token.end
        # What a parameter is set to may be a bare word.
        hides = hides or (sets and _is_assigned(word, parts))
    return "".join(parts)[:_SHOWN]


def _is_read(statement: str) -> bool:
    try:
        postgast.parse(statement)
    except postgast.PgQueryError:
        return False
    return True


def _is_assigned(word: str, parts: list[str]) -> bool:
    return word.upper() in _ASSIGNS and any(part.strip().upper() == "SET" for part in parts)


def _first_words(statement: str) -> str:
    found = _FIRST_WORDS.match(statement)
    return f"{' '.join(found[1].split()) if found else ''}{_CUT}"
