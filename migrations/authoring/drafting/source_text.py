"""Definitions as somebody wrote them.

PostgreSQL may write an expression so that it reads it back as another one: a CHECK with IN on a VARCHAR column gains
casts each time. What is drafted from the words that made an object makes the same object.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from migrations.authoring.drafting.names import IDENTIFIER, parts, plain
from migrations.catalog.contents import Catalog, CatalogObject

# The kind of an object and the parts of its name, without their quotes.
Key = tuple[str, tuple[str, ...]]

_ANY: Final = re.IGNORECASE | re.DOTALL
_NAME: Final = rf"{IDENTIFIER}(?:\.{IDENTIFIER})*"
_TABLE: Final = re.compile(
    rf"\s*(?:CREATE|ALTER) (?:UNLOGGED )?TABLE (?:IF (?:NOT )?EXISTS |ONLY )*({_NAME})", re.IGNORECASE
)
_CHECK: Final = re.compile(rf"CONSTRAINT ({IDENTIFIER})\s+(?=CHECK\s*\()", _ANY)
_INDEX: Final = re.compile(
    rf"\s*CREATE (UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?({IDENTIFIER}) ON (?:ONLY )?(.*)",
    _ANY,
)
_POLICY: Final = re.compile(rf"\s*CREATE POLICY ({IDENTIFIER})\s+ON\s+({_NAME})\s.*", _ANY)
_VIEW: Final = re.compile(rf"\s*CREATE (?:OR REPLACE )?((?:MATERIALIZED )?VIEW ({_NAME}).*)", _ANY)
_QUOTED: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]""")


def sources(statements: Iterable[str]) -> dict[Key, str]:
    """What made CHECKs, indexes, policies and views, of the statements that made them; the last one counts.

    Args:
        statements: in the order in which they ran.
    """
    found: dict[Key, str] = {}
    for statement in statements:
        text = statement.strip().rstrip(";").strip()
        if table := _TABLE.match(text):
            for check in _CHECK.finditer(text):
                found["constraint", (*_plain(table[1]), plain(check[1]))] = _balanced(text[check.end() :])
        elif index := _INDEX.match(text):
            unique = "UNIQUE " if index[1] else ""
            found["index", (plain(index[2]),)] = f"CREATE {unique}INDEX {index[2]} ON {index[3]}"
        elif policy := _POLICY.match(text):
            found["policy", (*_plain(policy[2]), plain(policy[1]))] = text
        elif view := _VIEW.match(text):
            found["view", _plain(view[2])] = f"CREATE {view[1]}"
    return found


def as_written(catalog: Catalog, written: Mapping[Key, str]) -> Catalog:
    """The same catalogue with the definitions that somebody wrote, where they are known."""
    return Catalog.of(
        CatalogObject(one.kind, one.name, _as_written(one, written.get((one.kind, _plain(one.name)))))
        for one in catalog.objects
    )


def _as_written(one: CatalogObject, text: str | None) -> str:
    if text is None:
        return one.definition
    not_valid = one.kind == "constraint" and one.definition.endswith(" NOT VALID")
    return f"{text} NOT VALID" if not_valid else text


def _plain(name: str) -> tuple[str, ...]:
    found = tuple(plain(one) for one in parts(name))
    return found[1:] if found[0] == "public" else found


def _balanced(text: str) -> str:
    """The beginning of a text, up to the bracket that closes its first one."""
    depth = 0
    for found in _QUOTED.finditer(text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if found[0] == ")" and depth == 0:
            return text[: found.end()]
    return text
