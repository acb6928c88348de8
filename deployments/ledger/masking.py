"""Keeps passwords and values that JSON cannot hold out of what the ledger stores."""

import math
import re
from collections.abc import Mapping

from deployments.ledger.values import Json

# Up to the last @ before the host's end: a password may hold an unescaped one.
_CREDENTIALS = re.compile(r"://(?P<user>[^\s:/@]*):[^\s/]*@")


def masked(text: str) -> str:
    """Text with the password of every DSN in it replaced by `***`.

    Args:
        text: Any text, such as the message of an exception.
    """
    return _CREDENTIALS.sub(r"://\g<user>:***@", text)


def storable(value: Json) -> Json:
    """A value as the ledger may store it: DSN passwords masked, no NaN or infinity, no NUL character.

    Args:
        value: What a step has to say.

    Returns:
        The same structure in plain lists and dictionaries. A float that JSON has no word for becomes its name,
        since a step must never fail for what it measured.
    """
    if isinstance(value, str):
        return masked(value).replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: storable(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return [storable(item) for item in value]
