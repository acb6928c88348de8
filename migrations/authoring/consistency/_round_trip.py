"""Up, down, up: whether each downgrade restores the earlier catalogue, and a second upgrade repeats the first one."""

import re
from dataclasses import dataclass, field

import psycopg

from migrations.apply.migrate import Progress, downgrade, upgrade
from migrations.authoring.consistency.finding import CheckResult, Finding, shortened
from migrations.catalog.contents import Catalog, Difference, difference, read_catalog
from migrations.database.session import STATEMENT_TIMEOUT_MS, connect
from migrations.errors import DatabaseRefused, RevisionFailed
from migrations.history.foreign_project import with_version_table
from migrations.history.revisions import History

RELEASE = "check"
LOCK_TIMEOUT_MS = 10_000

# The catalogue that was read at each set of current revisions.
CatalogByRevisions = dict[frozenset[str], Catalog]


@dataclass(frozen=True)
class RoundTrip:
    """The outcome of upgrading to the heads, downgrading to base, and upgrading again.

    Attributes:
        head: the catalogue after the first upgrade to the heads; None where it failed.
        result: what was found.
    """

    head: Catalog | None
    result: CheckResult


def run_round_trip(dsn: str, history: History) -> RoundTrip:
    """Upgrade to the heads, downgrade to base, and upgrade again; the catalogue is read after each revision.

    Args:
        dsn: direct connection string of an empty database that nobody else uses.
        history: the revisions.

    Returns:
        The catalogue of the revisions, and every revision that does not return.

    Raises:
        MigrationError: the database could not be reached, or the history not be read.

    Locks: those of the revisions, each for its transaction.
    """
    # One session reads all along: it is in no transaction between two readings, so that no revision waits for it.
    with connect(
        dsn,
        autocommit=True,
        default_transaction_isolation="repeatable read",
        statement_timeout=STATEMENT_TIMEOUT_MS,
    ) as reading:
        run = _RoundTripRun(dsn, with_version_table(dsn, history), reading)
        run.read_catalogue()
        if not run.up():
            return RoundTrip(None, run.result())
        head = run.catalogs[run.current]
        run.down()
        run.up_again()
        return RoundTrip(head, run.result())


@dataclass
class _RoundTripRun:
    dsn: str
    history: History
    reading: psycopg.Connection
    current: frozenset[str] = frozenset()
    catalogs: CatalogByRevisions = field(default_factory=CatalogByRevisions)
    findings: list[Finding] = field(default_factory=list[Finding])
    note: str = ""
    # What one downgrade leaves behind is still there after those below it: it is reported once.
    reported: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def read_catalogue(self) -> None:
        self.catalogs[self.current] = self.current_catalogue()

    def current_catalogue(self) -> Catalog:
        try:
            found = read_catalog(self.reading)
        except psycopg.Error as error:
            raise DatabaseRefused.of(self.dsn, "reading", error) from error
        # Another project's version table, which Alembic makes and leaves.
        table = self.history.version_table.removeprefix("public.")
        return Catalog(tuple(one for one in found.objects if not re.match(rf"{re.escape(table)}($|\.| to )", one.name)))

    def result(self) -> CheckResult:
        return CheckResult.of("up, down, up", self.findings, self.note or f"{len(self.history.revisions)} revisions")

    def up(self) -> bool:
        try:
            upgrade(
                self.dsn,
                self.history,
                target="heads",
                release_id=RELEASE,
                lock_timeout_ms=LOCK_TIMEOUT_MS,
                on_event=self._applied,
            )
        except RevisionFailed as error:
            self.findings.append(Finding(error.revision, str(error), "mend its upgrade"))
            return False
        return True

    def _applied(self, event: Progress) -> None:
        if event.kind != "applied":
            return
        self.current |= {event.revision}
        self.read_catalogue()

    def down(self) -> None:
        try:
            downgrade(
                self.dsn,
                self.history,
                "base",
                release_id=RELEASE,
                lock_timeout_ms=LOCK_TIMEOUT_MS,
                on_event=self._removed,
            )
        except RevisionFailed as error:
            if error.has_no_downgrade:
                # What lies below it is not tried.
                why = error.message.partition(":")[2].strip()
                self.note = f"{error.revision} has no way back{f': {why}' if why else ''}"
            else:
                self.findings.append(Finding(error.revision, f"downgrade: {error}", "mend its downgrade"))

    def _removed(self, event: Progress) -> None:
        if event.kind != "applied":
            return
        self.current -= {event.revision}
        before = self.catalogs.get(self.current)
        if before is not None:
            self._compare(event.revision, "its downgrade does not return", "mend its downgrade", before)

    def up_again(self) -> None:
        try:
            upgrade(
                self.dsn,
                self.history,
                target="heads",
                release_id=RELEASE,
                lock_timeout_ms=LOCK_TIMEOUT_MS,
                on_event=self._applied_again,
            )
        except RevisionFailed as error:
            self.findings.append(
                Finding(error.revision, f"after its downgrade: {error}", "mend what a downgrade leaves behind")
            )

    def _applied_again(self, event: Progress) -> None:
        if event.kind != "applied":
            return
        self.current |= {event.revision}
        before = self.catalogs.get(self.current)
        if before is not None:
            advice = "make its upgrade give the same again"
            self._compare(event.revision, "the second time its upgrade makes something else", advice, before)

    def _compare(self, revision: str, what: str, advice: str, before: Catalog) -> None:
        differences = difference(before, self.current_catalogue())
        new = [one for one in differences if (one.kind, one.name) not in self.reported]
        self.reported |= {(one.kind, one.name) for one in differences}
        self.findings += [Finding(revision, f"{what}: {describe(one)}", advice) for one in new]


def describe(found: Difference) -> str:
    """A difference that a downgrade left, in words."""
    words = {"added": "is left over", "removed": "is missing", "changed": "is another one"}
    return f"{found.kind} {found.name} {words[found.change]} ({shortened(found)})"
