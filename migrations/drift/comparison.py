"""Drift: the live catalogue and revisions of a database compared with what was released to it."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from migrations.catalog.contents import Catalog, Difference, difference
from migrations.disclosure.sentences import clauses
from migrations.history.revisions import HistoryState

CHECKSUMS = "checksums"
MENDED = (
    "undo it; or release a revision that takes it over: one that makes exactly this where it is not there yet "
    "(IF NOT EXISTS, IF EXISTS, OR REPLACE)"
)
UNRECORDED_GRANT = (
    "the revisions that stand grant just this, and the release that took it over did not record it: release that "
    "commit again (`pilotage release start`), which records it"
)
UNRECORDED = (
    "no release recorded it, and the revisions that stand are not in the history",
    "release the commit that has them",
)

Kind = Literal["catalogue", "edited", "deleted", "unknown", "pending", "cannot-tell", "serving"]


@dataclass(frozen=True, order=True)
class DriftFinding:
    """One difference from what was released.

    Attributes:
        kind: catalogue, edited, deleted, unknown, pending, cannot-tell or serving.
        subject: the object, the revision or the build.
        detail: what is wrong with it.
        advice: what to do.
    """

    kind: Kind
    subject: str
    detail: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {clauses((self.detail, self.advice))}"

    @property
    def blocks_release(self) -> bool:
        """Whether it keeps a release from starting; a database without records of applied files may be taken over.

        Nor does a build that somebody else let serve: a release goes on from whatever serves, once that is told.
        """
        return self.subject != CHECKSUMS and self.kind != "serving"


def find_drift(
    live: Catalog,
    recorded: Catalog | None,
    state: HistoryState,
    *,
    unknown: tuple[str, str] | None = None,
    unrecorded: Collection[Difference] = (),
) -> tuple[DriftFinding, ...]:
    """Compare a live catalogue and the applied revisions with what was released.

    Args:
        live: the catalogue as it stands.
        recorded: the catalogue that the last release left; None where it is unknown.
        state: the applied revisions against the released history.
        unknown: why the catalogue is unknown, and what to do.
        unrecorded: grants among the differences that the revisions which stand make.

    Returns:
        The findings in order of kind and subject; pending revisions are among them.
    """
    return tuple(sorted((*revision_findings(state), *_catalogue(live, recorded, unknown or UNRECORDED, unrecorded))))


def drift_digest(findings: Iterable[DriftFinding]) -> str:
    """SHA-256 of a set of findings, the same for the same findings in any order."""
    lines = sorted(f"{f.kind}\0{f.subject}\0{f.detail}" for f in findings)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _catalogue(
    live: Catalog, recorded: Catalog | None, unknown: tuple[str, str], unrecorded: Collection[Difference]
) -> Iterable[DriftFinding]:
    if recorded is None:
        yield DriftFinding("cannot-tell", "catalogue", *unknown)
        return
    for found in difference(recorded, live):
        yield DriftFinding(
            "catalogue",
            f"{found.kind} {found.name}",
            {"added": "was added by hand", "removed": "is missing", "changed": "was changed by hand"}[found.change]
            + f": {_short(found.before, found.after)}",
            UNRECORDED_GRANT if found in unrecorded else MENDED,
        )


def _short(before: str | None, after: str | None, limit: int = 200) -> str:
    text = " -> ".join(" ".join(part.split()) for part in (before, after) if part is not None)
    return text if len(text) <= limit else f"{text[:limit]}…"


def revision_findings(state: HistoryState) -> Iterable[DriftFinding]:
    """What is wrong with the revisions of a database, and which are still to be applied."""
    for revision in state.unknown:
        yield DriftFinding(
            "unknown",
            revision,
            "stands in the database, but this commit has no such revision",
            "release a commit that has it",
        )
    for revision in state.pending or ():
        yield DriftFinding("pending", revision.id, "is not applied", "release it")
    if state.edited is None or state.deleted is None:
        yield DriftFinding(
            "cannot-tell",
            CHECKSUMS,
            "the database has no record of the files that were applied",
            "see whether another tool applied its revisions; the record is kept from the first release on",
        )
        return
    for revision in state.edited:
        yield DriftFinding(
            "edited",
            revision.id,
            f"{revision.path.name} changed after it was applied",
            "bring the file back as it was applied; mend the schema with a new revision",
        )
    for revision in state.deleted:
        yield DriftFinding("deleted", revision, "was applied, but its file is gone", "bring the file back")
