"""Up, down, up: whether each downgrade restores the catalogue of before, and a second upgrade repeats the first one."""

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

# What stands, and how the catalogue looked then.
Seen = dict[frozenset[str], Catalog]


@dataclass(frozen=True)
class RoundTrip:
    """What came of applying all revisions, taking them all away, and applying them again.

    Attributes:
        head: the catalogue after the first upgrade to the heads; None where it failed.
        result: what was found.
    """

    head: Catalog | None
    result: CheckResult


def run_round_trip(dsn: str, history: History) -> RoundTrip:
    """Apply all revisions, take them all away, and apply them again; the catalogue is read after each.

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
        head = run.seen[run.stands]
        run.down()
        run.up_again()
        return RoundTrip(head, run.result())


@dataclass
class _RoundTripRun:
    dsn: str
    history: History
    reading: psycopg.Connection
    stands: frozenset[str] = frozenset()
    seen: Seen = field(default_factory=Seen)
    findings: list[Finding] = field(default_factory=list[Finding])
    note: str = ""
    # What an earlier step left behind shows below it too: it is named once.
    known: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def read_catalogue(self) -> None:
        self.seen[self.stands] = self.current_catalogue()

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
        self.stands |= {event.revision}
        self.read_catalogue()

    def down(self) -> None:
        try:
            downgrade(
                self.dsn,
                self.history,
                "base",
                release_id=RELEASE,
                lock_timeout_ms=LOCK_TIMEOUT_MS,
                on_event=self._taken_away,
            )
        except RevisionFailed as error:
            if error.message.startswith("NotImplementedError"):
                # That is how a revision declares that it has no way back; what lies below it is not tried.
                why = error.message.partition(":")[2].strip()
                self.note = f"{error.revision} has no way back{f': {why}' if why else ''}"
            else:
                self.findings.append(Finding(error.revision, f"downgrade: {error}", "mend its downgrade"))

    def _taken_away(self, event: Progress) -> None:
        if event.kind != "applied":
            return
        self.stands -= {event.revision}
        before = self.seen.get(self.stands)
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
        self.stands |= {event.revision}
        before = self.seen.get(self.stands)
        if before is not None:
            advice = "make its upgrade give the same again"
            self._compare(event.revision, "the second time its upgrade makes something else", advice, before)

    def _compare(self, revision: str, what: str, advice: str, before: Catalog) -> None:
        differences = difference(before, self.current_catalogue())
        new = [one for one in differences if (one.kind, one.name) not in self.known]
        self.known |= {(one.kind, one.name) for one in differences}
        self.findings += [Finding(revision, f"{what}: {described(one)}", advice) for one in new]


def described(found: Difference) -> str:
    """What a downgrade left otherwise, in words."""
    words = {"added": "is left over", "removed": "is missing", "changed": "is another one"}
    return f"{found.kind} {found.name} {words[found.change]} ({shortened(found)})"
