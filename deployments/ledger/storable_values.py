"""Keeps secrets and values that JSON cannot hold out of what the ledger stores."""

import math
from collections.abc import Mapping
from typing import Final

from deployments.ledger.values import Json
from deployments.redaction.redactor import redacted

# A catalogue is compared to the letter after a restore: of it nothing may be left out.
TO_THE_LETTER: Final = frozenset({"catalog_json"})


def storable(value: Json) -> Json:
    """A value as the ledger may store it: without secrets, NaN, infinity and NUL characters.

    Args:
        value: What a step has to say.

    Returns:
        The same structure in plain lists and dictionaries. A float that JSON has no word for becomes its name,
        since a step must never fail for what it measured.
    """
    if isinstance(value, str):
        return redacted(value).replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {redacted(key): item if key in TO_THE_LETTER else storable(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return [storable(item) for item in value]
