"""The downgrades of a rehearsal: each compared with the catalogue of before its upgrade; then all upgrades again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from migrations.apply.migrate import Progress, downgrade, upgrade
from migrations.catalog.contents import Catalog, Difference, difference, read_catalog
from migrations.database.session import reader
from migrations.errors import MigrationError, RevisionFailed
from migrations.history.revisions import History
from migrations.plan.planned_revisions import Plan
from migrations.rehearsal.evidence import DowngradeResult

COMPARED_BELOW = 2_000_000
NAME = "rehearsal"

Seen = dict[frozenset[str], Catalog]
"""The catalogue, by which revisions of the plan were applied."""

_TABLES = """
SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint,
       (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pilotage')
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class TableRows:
    """The rows of a table as one figure.

    Attributes:
        columns: those that were read.
        count: rows.
        digest: sum of the rows' hashes; None where there were too many to read.
    """

    columns: tuple[str, ...]
    count: int
    digest: int | None


def catalogue_of(dsn: str, history: History) -> Catalog:
    """The catalogue as the revisions made it, without the table in which Alembic notes what stands.

    Args:
        dsn: direct connection string of the copy's owner.
        history: the revisions, with their version table.
    """
    with reader(dsn) as connection:
        found = read_catalog(connection)
    table = re.escape(history.version_table.removeprefix("public."))
    return Catalog(tuple(one for one in found.objects if not re.match(rf"{table}($|\.| to )", one.name)))


def rehearse_downgrades(
    dsn: str, history: History, plan: Plan, seen: Seen, rows: Mapping[str, TableRows]
) -> DowngradeResult:
    """Downgrade the revisions of the plan, compare, and upgrade again.

    Args:
        dsn: direct connection string of the copy's owner.
        history: the revisions, with their version table.
        plan: what stands now.
        seen: the catalogue before the plan, and after each of its revisions.
        rows: the rows before the plan.

    Raises:
        MigrationError: the copy could not be worked on.

    Locks: those of the downgrades, on the copy alone.
    """
    if len(plan.current) > 1:
        return DowngradeResult(False, "the plan begins at several revisions, and a downgrade can only end at one")
    run = _DowngradeRun(dsn, history, seen, frozenset(one.id for one in plan.revisions))
    after = seen[run.applied]
    try:
        target = plan.current[0] if plan.current else "base"
        downgrade(dsn, history, target, release_id=NAME, on_event=run.reverted)
    except MigrationError as error:
        if error.transient:
            raise
        return DowngradeResult(False, str(error), by_revision=tuple(run.findings))
    lost, not_compared = _lost(rows, all_rows(dsn, history, {name: one.columns for name, one in rows.items()}))
    return DowngradeResult(
        ran=True,
        catalogue=tuple(str(one) for one in difference(seen[frozenset()], catalogue_of(dsn, history))),
        rows=lost,
        not_compared=not_compared,
        again=_again(dsn, history, plan, after),
        by_revision=tuple(run.findings),
    )


@dataclass
class _DowngradeRun:
    """Compares the catalogue after each downgrade with the one that was there before the upgrade."""

    dsn: str
    history: History
    seen: Seen
    applied: frozenset[str]
    findings: list[str] = field(default_factory=list[str])
    # What a later revision left behind shows below it too: it is named once.
    known: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])

    def reverted(self, event: Progress) -> None:
        if event.revision not in self.applied or event.kind != "applied":
            return
        self.applied -= {event.revision}
        before = self.seen.get(self.applied)
        if before is None:
            return
        differences = difference(before, catalogue_of(self.dsn, self.history))
        new = [one for one in differences if (one.kind, one.name, one.change) not in self.known]
        self.known |= {(one.kind, one.name, one.change) for one in differences}
        if new:
            self.findings.append(f"{event.revision}: {'; '.join(_described(one) for one in new[:5])}")


def _described(found: Difference) -> str:
    words = {"added": "is left over", "removed": "is missing", "changed": "is another one"}
    return f"{found.kind} {found.name} {words[found.change]}"


def _again(dsn: str, history: History, plan: Plan, after: Catalog) -> tuple[str, ...]:
    """How the catalogue after a second upgrade differs from the one after the first."""
    try:
        for target in plan.targets:
            upgrade(dsn, history, target=target, release_id=NAME, record=False, statement_timeout_s=0)
    except RevisionFailed as error:
        return (f"after the way back the plan no longer goes through: {error}",)
    return tuple(str(one) for one in difference(after, catalogue_of(dsn, history)))


def _lost(before: Mapping[str, TableRows], after: Mapping[str, TableRows]) -> tuple[tuple[str, ...], tuple[str, ...]]:
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


def all_rows(dsn: str, history: History, only: Mapping[str, Sequence[str]] | None = None) -> Mapping[str, TableRows]:
    """The rows of every table as figures that do not depend on their order, nor on that of the columns."""
    found: dict[str, TableRows] = {}
    with reader(dsn, statement_timeout_ms=0) as connection:
        for schema, table, estimate, columns in connection.execute(_TABLES).fetchall():
            name = str(table) if schema == "public" else f"{schema}.{table}"
            if history.version_table in {name, f"{schema}.{table}", f'"{table}"', f'{schema}."{table}"'}:
                continue
            wanted = tuple(str(one) for one in columns or () if only is None or one in only.get(name, ()))
            if not wanted or (only is not None and name not in only):
                continue
            if int(estimate) >= COMPARED_BELOW:
                found[name] = TableRows(wanted, int(estimate), None)
            else:
                found[name] = _rows(connection, sql.Identifier(str(schema), str(table)), wanted)
    return found


def _rows(connection: psycopg.Connection, table: sql.Identifier, columns: tuple[str, ...]) -> TableRows:
    query = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0)::text FROM {}")
    row = connection.execute(query.format(sql.SQL(", ").join(map(sql.Identifier, columns)), table)).fetchone()
    return TableRows(columns, int(row[0]), int(row[1])) if row else TableRows(columns, 0, 0)
