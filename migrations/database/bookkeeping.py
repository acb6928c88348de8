"""What Alembic and the product write down of a revision: it is not the revision's own."""

from __future__ import annotations

import re

# Source: Alembic keeps its place in a column version_num, in a table that a project names itself.
_NAME = r'(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?'
_KEPT = re.compile(
    rf"(?:UPDATE|INSERT\s+INTO|DELETE\s+FROM|CREATE\s+TABLE|DROP\s+TABLE)\s+(?:alembic_version\b|pilotage\.)"
    rf"|UPDATE\s+{_NAME}\s+SET\s+version_num\s*=\s*'[^']*'\s+WHERE\s+{_NAME}\.version_num\s*="
    rf"|INSERT\s+INTO\s+{_NAME}\s*\(version_num\)\s*VALUES"
    rf"|DELETE\s+FROM\s+{_NAME}\s+WHERE\s+{_NAME}\.version_num\s*="
    rf"|CREATE\s+TABLE\s+{_NAME}\s*\(\s*version_num\s+VARCHAR\(",
    re.IGNORECASE,
)


def is_bookkeeping(sql: str) -> bool:
    """Whether a statement does nothing but to write down where a history stands."""
    return _KEPT.match(sql.strip()) is not None
