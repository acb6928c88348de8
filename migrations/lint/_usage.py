"""Whether the running application uses something, as far as its statements tell."""

from __future__ import annotations

import re

from migrations.sql.database_context import DatabaseContext
from migrations.sql.names import Name

_WORD = re.compile(r'"(?:[^"]|"")+"|[A-Za-z_][\w$]*')


def words(query: str) -> frozenset[str]:
    """The names in a statement, as the catalogue has them."""
    return frozenset(
        one[1:-1].replace('""', '"') if one.startswith('"') else one.lower() for one in _WORD.findall(query)
    )


def is_used(context: DatabaseContext, table: Name, column: str = "") -> bool | None:
    """Whether a statement names a table, and the column where one is given.

    Returns:
        None where no statements are known. `SELECT *` names every column.
    """
    if not context.statements:
        return None
    for one in context.statements:
        named = words(one.query)
        if table.name in named and (not column or column in named or re.search(r"[\s.]\*", one.query)):
            return True
    return False
