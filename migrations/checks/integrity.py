"""Integrity checks: one a file; a check that cannot tell says so, and never passes."""

import logging
from collections.abc import Callable, Mapping
from functools import partial

import psycopg

from migrations.catalog.contents import Catalog
from migrations.checks._foreign_keys import check_foreign_keys
from migrations.checks._indexes import check_indexes
from migrations.checks._orphans import check_orphans
from migrations.checks.counts import check_counts
from migrations.checks.queries import check_query, critical_queries
from migrations.checks.result import CheckResult
from migrations.database.session import reader
from migrations.disclosure.server_messages import safe_message

log = logging.getLogger(__name__)

Check = Callable[[psycopg.Connection], CheckResult]


def run_checks(
    dsn: str, *, promised: Catalog, row_counts: Mapping[str, int] | None = None, loss_limit: float = 0.01
) -> tuple[CheckResult, ...]:
    """Run every check in one snapshot of the database.

    Args:
        dsn: direct connection string of the owner.
        promised: the catalogue that the revisions promise.
        row_counts: rows by table at the restore point; without, counts are not compared.
        loss_limit: share of a table's rows that may be gone.

    Returns:
        A result a check, in a fixed order. A critical query whose tables the promised catalogue lacks is left out.

    Raises:
        DatabaseUnreachable: the database does not answer.

    Locks: AccessShareLock on every table, until the last check has ended.
    """
    checks: dict[str, Check] = {
        "foreign keys": lambda c: check_foreign_keys(c, promised),
        "indexes": lambda c: check_indexes(c, promised),
        "orphans": check_orphans,
    }
    if row_counts is not None:
        checks["row counts"] = lambda c: check_counts(c, row_counts, loss_limit=loss_limit)
    with reader(dsn) as connection:
        found = [_told(connection, name, check) for name, check in checks.items()]
        tables = {table.name for table in promised.of_kind("table")}
        queries = [query for query in critical_queries() if query.tables <= tables]
        found += [_told(connection, query.name, partial(check_query, query=query)) for query in queries]
    return tuple(found)


def _told(connection: psycopg.Connection, name: str, check: Check) -> CheckResult:
    """Run one check in a savepoint, so that one that fails does not take the others with it."""
    try:
        with connection.transaction():
            return check(connection)
    except psycopg.Error as error:
        if connection.broken:
            raise
        return CheckResult(name, None, f"cannot tell: {safe_message(error).splitlines()[0]}")
