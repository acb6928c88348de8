"""Values as COPY's text format has them.

Source: PostgreSQL documentation, COPY, "Text Format": a tab between fields, `\\N` for NULL, and backslash, newline,
carriage return and tab written with a backslash.
"""

import datetime as dt
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

NULL: Final = "\\N"
TRUE: Final = "t"
FALSE: Final = "f"

Value = str | int | float | bool | Decimal | dt.date | dict[str, object] | list[str] | None

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def field(value: Value) -> str:
    """One value; a dictionary or a list is JSON."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True).translate(_ESCAPES)
    return str(value).translate(_ESCAPES)


def fields(values: Iterable[Value]) -> tuple[str, ...]:
    """The values of one row."""
    return tuple(field(value) for value in values)
