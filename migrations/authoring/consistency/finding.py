"""What a check of revisions says."""

from collections.abc import Iterable
from dataclasses import dataclass

from migrations.catalog.contents import Difference
from migrations.disclosure.sentences import clauses


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as it must be.

    Attributes:
        subject: the revision, the file or the object of the catalogue.
        detail: what is wrong with it.
        advice: what to do.
    """

    subject: str
    detail: str
    advice: str

    def __str__(self) -> str:
        return f"{self.subject}: {clauses((self.detail, self.advice))}"


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        check: its name.
        findings: what is wrong, in order; empty where nothing is.
        note: what could not be told, and why; or what it was held against.
        told: whether it could be told at all.
    """

    check: str
    findings: tuple[Finding, ...]
    note: str = ""
    told: bool = True

    @classmethod
    def of(cls, check: str, findings: Iterable[Finding], note: str = "") -> "CheckResult":
        """What a check found."""
        return cls(check, tuple(findings), note)

    @classmethod
    def cannot_tell(cls, check: str, why: str) -> "CheckResult":
        """A check that had nothing to look at."""
        return cls(check, (), why, told=False)

    @property
    def passed(self) -> bool:
        """Whether it could be told, and nothing was found."""
        return self.told and not self.findings


def shortened(difference: Difference, limit: int = 300) -> str:
    """The definitions of a difference in one line."""
    parts = [" ".join(text.split()) for text in (difference.before, difference.after) if text is not None]
    line = " -> ".join(parts)
    return line if len(line) <= limit else f"{line[:limit]}…"
