"""Up, down, up: whether each revision's way back returns to what stood before it, and the way up to what it made."""

import re
from dataclasses import dataclass, field

from migrations.apply.migrate import Progress, downgrade, upgrade
from migrations.authoring.consistency.finding import CheckResult, Finding, shortened
from migrations.catalog.contents import Catalog, Difference, difference, read_catalog
from migrations.database.session import reader
from migrations.errors import RevisionFailed
from migrations.history.project import history_for
from migrations.history.revisions import History

RELEASE = "check"
LOCK_TIMEOUT_MS = 10_000

# What stands, and how the catalogue looked then.
Seen = dict[frozenset[str], Catalog]


@dataclass(frozen=True)
class Walk:
    """What was seen on the way up, down, and up again.

    Attributes:
        head: the catalogue at the end of the first way up; None where that end was not reached.
        result: what was found.
    """

    head: Catalog | None
    result: CheckResult


def walk(dsn: str, history: History) -> Walk:
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
    walker = _Walker(dsn, history_for(dsn, history))
    walker.look()
    if not walker.up():
        return Walk(None, walker.told())
    head = walker.seen[walker.stands]
    walker.down()
    walker.up_again()
    return Walk(head, walker.told())


@dataclass
class _Walker:
    dsn: str
    history: History
    stands: frozenset[str] = frozenset()
    seen: Seen = field(default_factory=Seen)
    findings: list[Finding] = field(default_factory=list[Finding])
    note: str = ""
    # What an earlier step left behind shows below it too: it is named once.
    known: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def look(self) -> None:
        self.seen[self.stands] = self.now()

    def now(self) -> Catalog:
        with reader(self.dsn) as connection:
            found = read_catalog(connection)
        # Another project's version table, which Alembic makes and leaves.
        table = self.history.version_table.removeprefix("public.")
        return Catalog(tuple(one for one in found.objects if not re.match(rf"{re.escape(table)}($|\.| to )", one.name)))

    def told(self) -> CheckResult:
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
        self.look()

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
        differences = difference(before, self.now())
        new = [one for one in differences if (one.kind, one.name) not in self.known]
        self.known |= {(one.kind, one.name) for one in differences}
        self.findings += [Finding(revision, f"{what}: {told(one)}", advice) for one in new]


def told(found: Difference) -> str:
    """What a downgrade left otherwise, in words."""
    words = {"added": "is left over", "removed": "is missing", "changed": "is another one"}
    return f"{found.kind} {found.name} {words[found.change]} ({shortened(found)})"
