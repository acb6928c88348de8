"""A rehearsal: a plan run on a copy of production, back, and up again, with everything measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import psycopg

from migrations.apply.migrate import upgrade
from migrations.checks.integrity import run_checks
from migrations.database.session import connect
from migrations.database.trace import Trace
from migrations.disclosure.normalized_statements import normalized
from migrations.errors import DatabaseRefused
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import History
from migrations.plan.planned_revisions import Plan, PlannedRevision
from migrations.rehearsal._rehearsed_downgrades import NAME, Seen, all_rows, catalogue_of, rehearse_downgrades
from migrations.rehearsal.compatibility.observed_statements import Application, ProductionStatement
from migrations.rehearsal.compatibility.schema_comparison import (
    ApplicationBaseline,
    Compatibility,
    compare,
    take_baseline,
)
from migrations.rehearsal.evidence import Evidence, RehearsedRevision

_FILES = """
SELECT c.oid::bigint, CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END
       || quote_ident(c.relname), c.relfilenode::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'i') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
"""
_SIZE = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_database_size(current_database())"


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
    history = with_version_table(dsn, history)
    before = catalogue_of(dsn, history)
    seen: Seen = {frozenset(): before}
    baseline = run_checks(dsn, promised=before)
    rows = all_rows(dsn, history)
    application_baseline = _baseline(dsn, application)
    expanded = _apply(dsn, history, plan.expand, seen)
    compatibility = _compatibility(dsn, application_baseline)
    contracted = _apply(dsn, history, plan.contract, seen)
    checks = run_checks(dsn, promised=seen[frozenset(one.id for one in plan.revisions)])
    way_back = rehearse_downgrades(dsn, history, plan, seen, rows)
    return Evidence(plan.digest, (*expanded, *contracted), way_back, compatibility, checks, baseline)


def _apply(
    dsn: str, history: History, revisions: Iterable[PlannedRevision], seen: Seen
) -> tuple[RehearsedRevision, ...]:
    done: list[RehearsedRevision] = []
    applied_revisions = max(seen, key=len)
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
                    tuple(replace(statement, sql=normalized(statement.sql)) for statement in trace.statements),
                    tuple(rewrites),
                    wal_after - wal,
                    size_after - size,
                )
            )
            applied_revisions |= {one.id}
            seen[applied_revisions] = catalogue_of(dsn, history)
    return tuple(done)


def _files(connection: psycopg.Connection) -> Mapping[int, tuple[str, int]]:
    return {int(oid): (str(name), int(node)) for oid, name, node in connection.execute(_FILES)}


def _size(connection: psycopg.Connection) -> tuple[int, int]:
    row = connection.execute(_SIZE).fetchone()
    if row is None:
        raise DatabaseRefused("the rehearsal's database", "reading its size", None, "no answer")
    return int(row[0]), int(row[1])


def _baseline(dsn: str, application: Application | None) -> ApplicationBaseline | None:
    if application is None:
        return None
    with connect(dsn, autocommit=True, application_name="pilotage rehearsal") as connection:
        return take_baseline(connection, application)


def _compatibility(dsn: str, before: ApplicationBaseline | None) -> Compatibility | None:
    if before is None:
        return None
    with connect(dsn, autocommit=True, application_name="pilotage rehearsal") as connection:
        # The planner's figures are those of production, which the copy has; new tables have none yet.
        return _by_shape(compare(connection, before))


def _by_shape(found: Compatibility) -> Compatibility:
    """The same, to be kept: a statement that is kept as it was sent, or a comment in it, may hold a row's value."""

    def shaped(given: ProductionStatement) -> ProductionStatement:
        return replace(given, query=normalized(given.query))

    return replace(
        found,
        broken=tuple(replace(one, statement=shaped(one.statement)) for one in found.broken),
        unknown=tuple((shaped(one), reason) for one, reason in found.unknown),
        worse=tuple((shaped(one), reason) for one, reason in found.worse),
        unsure=tuple((shaped(one), reason) for one, reason in found.unsure),
    )
