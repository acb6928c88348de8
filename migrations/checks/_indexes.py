"""Indexes: each promised one exists, and none is left invalid."""

import psycopg

from migrations.catalog.contents import Catalog
from migrations.checks.result import CheckResult

NAME = "indexes"

_EVERY = """
SELECT quote_ident(x.relname), i.indisvalid AND i.indisready AND i.indislive
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE n.nspname !~ '^pg_'
"""


def check_indexes(connection: psycopg.Connection, promised: Catalog) -> CheckResult:
    """Look for indexes that are missing or that no query may use.

    Locks: AccessShareLock on the system catalogues.
    """
    live = {str(name): bool(usable) for name, usable in connection.execute(_EVERY)}
    wanted = {one.name.rsplit(".", 1)[-1] for one in promised.of_kind("index")}
    missing = [f"index {name} is missing" for name in sorted(wanted - live.keys())]
    invalid = [f"index {name} is invalid" for name, usable in sorted(live.items()) if not usable]
    return CheckResult.of(NAME, missing + invalid, f"{len(live)} indexes")
