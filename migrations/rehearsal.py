"""A rehearsal: a plan run on a copy of production, back, and up again, with everything measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrations.application import Application
from migrations.apply import downgrade, upgrade
from migrations.catalog import Catalog, difference, read_catalog
from migrations.checks import run_checks
from migrations.compatibility import Compatibility, Look, compare, look
from migrations.errors import DatabaseRefused, MigrationError, RevisionFailed
from migrations.evidence import Evidence, RehearsedRevision, Return
from migrations.history import History
from migrations.plan import Plan, PlannedRevision
from migrations.session import connect, reader
from migrations.trace import Trace

COMPARED_BELOW = 2_000_000
NAME = "rehearsal"

_FILES = """
SELECT c.oid::bigint, CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END
       || quote_ident(c.relname), c.relfilenode::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'i') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
"""
_SIZE = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_database_size(current_database())"
_TABLES = """
SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint,
       (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
  AND c.relname <> 'alembic_version'
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class _Rows:
    """The rows of a table as one figure.

    Attributes:
        columns: those that were read.
        count: rows.
        digest: sum of the rows' hashes; None where there were too many to read.
    """

    columns: tuple[str, ...]
    count: int
    digest: int | None


def rehearse(dsn: str, history: History, plan: Plan, application: Application | None) -> Evidence:
    """Try a plan on a copy of production.

    Args:
        dsn: direct connection string of the copy's owner; nobody else uses the copy.
        history: the revisions.
        plan: what is to be tried; the copy stands where it begins.
        application: what the application that runs sends; None where it is not known.

    Raises:
        RevisionFailed: a revision does not go through on production's rows.
        MigrationError: the copy could not be worked on.

    Locks: those of the revisions, on the copy alone.
    """
    with reader(dsn) as connection:
        before = read_catalog(connection)
    baseline = run_checks(dsn, promised=before)
    rows = _all_rows(dsn)
    stands = _look(dsn, application)
    expanded = _apply(dsn, history, plan.expand)
    compatibility = _compatibility(dsn, stands)
    contracted = _apply(dsn, history, plan.contract)
    with reader(dsn) as connection:
        after = read_catalog(connection)
    checks = run_checks(dsn, promised=after)
    way_back = _return(dsn, history, plan, before, after, rows)
    return Evidence(plan.digest, (*expanded, *contracted), way_back, compatibility, checks, baseline)


def _apply(dsn: str, history: History, revisions: Iterable[PlannedRevision]) -> tuple[RehearsedRevision, ...]:
    done: list[RehearsedRevision] = []
    with connect(dsn, autocommit=True, application_name="pilotage rehearsal") as looking:
        for one in revisions:
            files, (wal, size) = _files(looking), _size(looking)
            with Trace.of(dsn) as trace:
                # How long a statement stops others is what is measured here: it is not cut short.
                (applied,) = upgrade(
                    dsn, history, target=one.id, release_id=NAME, record=False, trace=trace, statement_timeout_s=0
                )
            files_after, (wal_after, size_after) = _files(looking), _size(looking)
            rewrites = sorted(
                name for oid, (name, node) in files.items() if oid in files_after and files_after[oid][1] != node
            )
            done.append(
                RehearsedRevision(
                    one.id,
                    one.phase,
                    applied.duration_ms,
                    trace.statements,
                    tuple(rewrites),
                    wal_after - wal,
                    size_after - size,
                )
            )
    return tuple(done)


def _files(connection: psycopg.Connection) -> Mapping[int, tuple[str, int]]:
    return {int(oid): (str(name), int(node)) for oid, name, node in connection.execute(_FILES)}


def _size(connection: psycopg.Connection) -> tuple[int, int]:
    row = connection.execute(_SIZE).fetchone()
    if row is None:
        raise DatabaseRefused("the rehearsal's database", "reading its size", None, "no answer")
    return int(row[0]), int(row[1])


def _look(dsn: str, application: Application | None) -> Look | None:
    if application is None:
        return None
    with connect(dsn, autocommit=True, application_name="pilotage rehearsal") as connection:
        return look(connection, application)


def _compatibility(dsn: str, before: Look | None) -> Compatibility | None:
    if before is None:
        return None
    with connect(dsn, autocommit=True, application_name="pilotage rehearsal") as connection:
        # The planner's figures are those of production, which the copy has; new tables have none yet.
        return compare(connection, before)


def _return(
    dsn: str, history: History, plan: Plan, before: Catalog, after: Catalog, rows: Mapping[str, _Rows]
) -> Return:
    if len(plan.current) > 1:
        return Return(False, "the plan begins at several revisions, and a downgrade can only end at one")
    try:
        downgrade(dsn, history, plan.current[0] if plan.current else "base", release_id=NAME)
    except RevisionFailed as error:
        return Return(False, str(error))
    except MigrationError as error:
        if error.transient:
            raise
        return Return(False, str(error))
    with reader(dsn) as connection:
        catalogue = difference(before, read_catalog(connection))
    lost, not_compared = _lost(rows, _all_rows(dsn, {name: one.columns for name, one in rows.items()}))
    return Return(
        ran=True,
        catalogue=tuple(str(one) for one in catalogue),
        rows=lost,
        not_compared=not_compared,
        again=_again(dsn, history, plan, after),
    )


def _again(dsn: str, history: History, plan: Plan, after: Catalog) -> tuple[str, ...]:
    """What a second upgrade does otherwise than the first."""
    try:
        for target in plan.targets:
            upgrade(dsn, history, target=target, release_id=NAME, record=False, statement_timeout_s=0)
    except RevisionFailed as error:
        return (f"after the way back the plan no longer goes through: {error}",)
    with reader(dsn) as connection:
        return tuple(str(one) for one in difference(after, read_catalog(connection)))


def _lost(before: Mapping[str, _Rows], after: Mapping[str, _Rows]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    lost: list[str] = []
    not_compared: list[str] = []
    for name, was in before.items():
        now = after.get(name)
        if now is None:
            lost.append(f"{name} is gone ({was.count} rows)")
        elif was.digest is None:
            not_compared.append(name)
        elif now.columns != was.columns:
            lost.append(f"{name} lacks {', '.join(sorted(set(was.columns) - set(now.columns)))}")
        elif now.count != was.count:
            lost.append(f"{name} had {was.count} rows and has {now.count}")
        elif now.digest != was.digest:
            lost.append(f"{name} has the same number of rows, and other values in them")
    return tuple(lost), tuple(not_compared)


def _all_rows(dsn: str, only: Mapping[str, Sequence[str]] | None = None) -> Mapping[str, _Rows]:
    """The rows of every table as figures that do not depend on their order, nor on that of the columns."""
    found: dict[str, _Rows] = {}
    with reader(dsn, statement_timeout_ms=0) as connection:
        for schema, table, estimate, columns in connection.execute(_TABLES).fetchall():
            name = str(table) if schema == "public" else f"{schema}.{table}"
            wanted = tuple(str(one) for one in columns or () if only is None or one in only.get(name, ()))
            if not wanted or (only is not None and name not in only):
                continue
            if int(estimate) >= COMPARED_BELOW:
                found[name] = _Rows(wanted, int(estimate), None)
            else:
                found[name] = _rows(connection, sql.Identifier(str(schema), str(table)), wanted)
    return found


def _rows(connection: psycopg.Connection, table: sql.Identifier, columns: tuple[str, ...]) -> _Rows:
    query = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0)::text FROM {}")
    row = connection.execute(query.format(sql.SQL(", ").join(map(sql.Identifier, columns)), table)).fetchone()
    return _Rows(columns, int(row[0]), int(row[1])) if row else _Rows(columns, 0, 0)
