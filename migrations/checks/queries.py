"""Critical queries: one file a query, whose head says its name and what it must answer."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import psycopg

from migrations.checks.result import CheckResult

_HEADER = re.compile(r"^--\s*(name|expect|tables):\s*(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Query:
    """A critical query.

    Attributes:
        name: its name.
        expect: `no rows` (each row is a violation), `rows` (none is a violation) or `any` (it must only be answered).
        tables: the tables it reads, by name in `public`.
        text: the SQL.
        file: where it stands, for whoever looks closer.
    """

    name: str
    expect: str
    tables: frozenset[str]
    text: str
    file: str


@cache
def critical_queries() -> tuple[Query, ...]:
    """The queries that come with the product, by name."""
    found: list[Query] = []
    for file in (files("migrations.checks") / "queries").iterdir():
        if file.name.endswith(".sql"):
            text = file.read_text()
            head = dict(_HEADER.findall(text))
            tables = frozenset(head["tables"].split(", "))
            found.append(Query(head["name"], head["expect"], tables, text, f"migrations/checks/queries/{file.name}"))
    return tuple(sorted(found, key=lambda query: query.name))


def check_query(connection: psycopg.Connection, query: Query) -> CheckResult:
    """Ask one critical query. What it answers are rows of users: they are counted, and never part of the result.

    Locks: AccessShareLock on what it reads.
    """
    with connection.cursor() as cursor:
        cursor.execute(query.text.encode())
        rows = cursor.fetchmany(1000)
    if query.expect == "no rows":
        return CheckResult(query.name, len(rows), f"{query.file} shows them" if rows else "")
    if query.expect == "rows":
        return CheckResult(query.name, 0 if rows else 1, "" if rows else "it gave no row")
    return CheckResult(query.name, 0, f"{len(rows)} rows")
