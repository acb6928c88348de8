"""The running application as production's statistics show it: the statements that its role sends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import postgast
import psycopg

# Source: what is not planned holds no schema; these set up or end a session or a transaction.
_OF_THE_SESSION = frozenset(
    {
        "variable_set_stmt",
        "variable_show_stmt",
        "transaction_stmt",
        "discard_stmt",
        "deallocate_stmt",
        "listen_stmt",
        "unlisten_stmt",
        "notify_stmt",
        "checkpoint_stmt",
        "close_portal_stmt",
        "fetch_stmt",
    }
)
# Source: since PostgreSQL 17 names of savepoints, statements and values of SET are kept as $1, which no grammar takes.
_SESSION_WORDS = frozenset(
    {"savepoint", "rollback", "release", "deallocate", "fetch", "move", "close", "set", "prepare", "commit", "start"}
)
_PLANNED = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
_FIRST_WORDS = frozenset({"select", "insert", "update", "delete", "merge", "with", "values", "table"})

# Source: pg_stat_statements puts $n where the grammar wants a literal; a cast says the same and can be prepared.
_LITERALS = re.compile(r"\b(INTERVAL|DATE|TIMESTAMPTZ|TIMESTAMP|TIME|UUID|JSONB?)\s+(\$\d+)", re.IGNORECASE)
_EXTRACT = re.compile(r"\bEXTRACT\s*\(\s*(\$\d+)\s+FROM\b", re.IGNORECASE)

# Source: what functions and triggers run is kept too where pg_stat_statements.track is `all`; `toplevel` is there since
# version 1.9 of the extension. They run when the statement that calls them is tried.
_STATEMENTS = """
SELECT s.query, sum(s.calls)::bigint FROM pg_stat_statements s
JOIN pg_roles r ON r.oid = s.userid
WHERE r.rolname = %(role)s AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND coalesce((to_jsonb(s) ->> 'toplevel')::boolean, true)
GROUP BY s.query ORDER BY 2 DESC, 1 LIMIT %(limit)s + 1
"""
_FUNCTIONS = """
SELECT p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname IN ('plpgsql', 'sql') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_HIDDEN = "<insufficient privilege>"


@dataclass(frozen=True)
class ProductionStatement:
    """A statement that the application sends, as pg_stat_statements keeps it.

    Attributes:
        query: its text, constants as $1, $2, …
        calls: how often it was sent since the statistics were reset.
    """

    query: str
    calls: int

    @property
    def prepared(self) -> str:
        """Its text, written so that it can be prepared."""
        return _EXTRACT.sub(r"date_part(\1,", _LITERALS.sub(r"(\2)::\1", self.query))


@dataclass(frozen=True)
class Application:
    """What is known of the application that runs.

    Attributes:
        role: the role that it logs in as.
        statements: what it sends, most frequent first.
        unseen: why it may send more than that, each in a sentence; empty where all of it is known.
    """

    role: str
    statements: tuple[ProductionStatement, ...]
    unseen: tuple[str, ...] = ()


def running_application(connection: psycopg.Connection, role: str, *, limit: int = 2000) -> Application | None:
    """The application that logs in as a role, as the statistics show it.

    Args:
        connection: a session on production that may read pg_stat_statements of others.
        role: the application's role.
        limit: at most so many statements.

    Returns:
        What is known of it; None where the server keeps no such statistics.

    Locks: none.
    """
    there = connection.execute("SELECT to_regclass('pg_stat_statements') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return None
    try:
        with connection.transaction():
            rows = connection.execute(_STATEMENTS, {"role": role, "limit": limit}).fetchall()
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return None
    kept = tuple(ProductionStatement(str(query), int(calls)) for query, calls in rows[:limit])
    readable = tuple(one for one in kept if one.query != _HIDDEN)
    unseen: list[str] = []
    if len(kept) != len(readable):
        unseen.append(f"texts of other roles' statements are hidden: GRANT pg_read_all_stats, to see those of {role}")
    elif not kept:
        unseen.append(f"production's statistics hold no statement of {role}: it has not run since they were reset")
    if len(rows) > limit:
        unseen.append(f"only the {limit} most frequent statements were looked at")
    if evicted := _evicted(connection):
        unseen.append(f"the statistics were full {evicted} times and dropped rare statements: raise their size")
    return Application(role, tuple(one for one in readable if not _of_the_session(one.query)), tuple(unseen))


def _evicted(connection: psycopg.Connection) -> int:
    # Source: pg_stat_statements_info is there since version 1.9 of the extension, PostgreSQL 14.
    there = connection.execute("SELECT to_regclass('pg_stat_statements_info') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return 0
    row = connection.execute("SELECT dealloc FROM pg_stat_statements_info").fetchone()
    return int(row[0]) if row else 0


def _of_the_session(query: str) -> bool:
    try:
        parsed = postgast.parse(query).stmts
    except postgast.PgQueryError:
        words = query.split(maxsplit=1)
        return bool(words) and words[0].lower() in _SESSION_WORDS
    return all(one.stmt.WhichOneof("node") in _OF_THE_SESSION for one in parsed)


def is_planned(query: str) -> bool:
    """Whether PostgreSQL plans such a statement, so that it can be prepared."""
    try:
        parsed = postgast.parse(query).stmts
    except postgast.PgQueryError:
        # Constants are kept as $1 where the grammar has none: the server will say the same of both schemas.
        return query.lstrip(" (\n\t").split(maxsplit=1)[0].lower() in _FIRST_WORDS
    return len(parsed) == 1 and parsed[0].stmt.WhichOneof("node") in _PLANNED


def run_by_functions(
    connection: psycopg.Connection, statements: Iterable[ProductionStatement]
) -> frozenset[ProductionStatement]:
    """Those of the statements that stand in a function's body, and name its variables.

    Args:
        connection: a session on the database.
        statements: those that cannot be prepared.

    Locks: none beyond the system catalogues.

    Source: what a deferred trigger runs at COMMIT is kept by pg_stat_statements as if the client had sent it; PERFORM
    is kept as SELECT.
    """
    bodies = [" ".join(str(row[0]).split()) for row in connection.execute(_FUNCTIONS)]
    return frozenset(one for one in statements if any(_pattern(one.query).search(body) for body in bodies))


def _pattern(query: str) -> re.Pattern[str]:
    words = re.sub(r"^SELECT ", "", " ".join(query.split()), flags=re.IGNORECASE)
    return re.compile(".+?".join(map(re.escape, re.split(r"\$\d+", words))))
