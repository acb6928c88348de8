"""Evidence: what a rehearsal measured, as a value that is kept, shown and judged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from pydantic import TypeAdapter, ValidationError

from migrations.checks.result import CheckResult
from migrations.database.trace import HeldLock, TracedStatement
from migrations.disclosure.normalized_statements import normalized
from migrations.errors import EvidenceUnreadable
from migrations.rehearsal.compatibility.schema_comparison import Compatibility


@dataclass(frozen=True)
class RehearsedRevision:
    """A revision as it went on a copy of production.

    Attributes:
        revision: its id.
        phase: expand or contract.
        duration_ms: how long it took, waits for locks included.
        statements: what it did, with the locks that each statement took.
        rewrites: tables and indexes that were rewritten.
        wal_bytes: WAL that it wrote.
        growth_bytes: by how much the database grew.
    """

    revision: str
    phase: str
    duration_ms: int
    statements: tuple[TracedStatement, ...]
    rewrites: tuple[str, ...]
    wal_bytes: int
    growth_bytes: int

    @property
    def rows(self) -> int:
        """Rows that it inserted, updated or deleted."""
        return sum(statement.rows or 0 for statement in self.statements)

    @property
    def locks(self) -> tuple[HeldLock, ...]:
        """Every lock that it took on what was there before."""
        return tuple(held for statement in self.statements for held in statement.locks)

    @property
    def blocked_reads_ms(self) -> float:
        """The longest that a reader could have waited."""
        return max((held.held_ms for held in self.locks if held.lock.stops_reads), default=0.0)

    @property
    def blocked_writes_ms(self) -> float:
        """The longest that a writer could have waited."""
        return max((held.held_ms for held in self.locks if held.lock.stops_writes), default=0.0)


@dataclass(frozen=True)
class DowngradeResult:
    """What the downgrades brought back.

    Attributes:
        ran: whether all of them ran.
        reason: why they did not; empty where they did.
        catalogue: what differs from the catalogue before.
        rows: what differs in the rows that were there before, by table.
        not_compared: tables whose rows were too many to compare.
        again: what differs between the first upgrade and the one after the downgrades.
        by_revision: each revision whose downgrade does not return to what stood before it, with what differs.
    """

    ran: bool
    reason: str = ""
    catalogue: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    by_revision: tuple[str, ...] = ()

    @property
    def lossless(self) -> bool:
        """Whether it is proven that the downgrades lose nothing."""
        return self.ran and not (self.catalogue or self.rows or self.not_compared or self.again or self.by_revision)


@dataclass(frozen=True)
class Evidence:
    """What is known of a plan after it was tried on a copy of production.

    Attributes:
        plan_digest: the plan that was tried.
        revisions: each as it went.
        way_back: what the downgrades brought back.
        compatibility: what the expanded schema means for the application that runs; None where its statements are not
            known.
        checks: what the integrity checks found afterwards.
        baseline: what they found before.
    """

    plan_digest: str
    revisions: tuple[RehearsedRevision, ...]
    way_back: DowngradeResult
    compatibility: Compatibility | None
    checks: tuple[CheckResult, ...]
    baseline: tuple[CheckResult, ...]

    @property
    def compatible(self) -> bool:
        """Whether it is proven that the application that runs now works on the new schema."""
        return self.compatibility is not None and self.compatibility.proven

    def problems(self, *, blocking_budget_ms: float) -> tuple[str, ...]:
        """What speaks against the release, each in a sentence; empty where nothing does.

        Args:
            blocking_budget_ms: the longest that a client may be made to wait.
        """
        found: list[str] = []
        for one in self.revisions:
            taken = [(held, statement.sql) for statement in one.statements for held in statement.locks]
            stopping = [(held, text) for held, text in taken if held.lock.stops_writes]
            worst, text = max(stopping, key=lambda pair: pair[0].held_ms, default=(None, ""))
            if worst is not None and worst.held_ms > blocking_budget_ms:
                found.append(
                    f"{one.revision} holds {worst.lock.mode} on {worst.lock.relation} for {worst.held_ms:.0f} ms; the"
                    f" budget is {blocking_budget_ms:.0f} ms; it was taken by: {_line(text)}"
                )
        if self.compatibility is not None:
            found += [
                f"a statement of the running application breaks ({one.trouble}: {one.reason}): "
                + _line(normalized(one.statement.query))
                for one in self.compatibility.broken
            ]
        before = {result.check: result.violations or 0 for result in self.baseline}
        found += [
            f"{result.check}: {result.violations} violations ({before.get(result.check, 0)} before): "
            + "; ".join((*result.sample[:3], result.detail)).strip("; ")
            for result in self.checks
            if result.violations is not None and result.violations > before.get(result.check, 0)
        ]
        return tuple(found)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the evidence, hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The evidence as JSON."""
        return _evidence.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        """Read evidence that was kept.

        Raises:
            EvidenceUnreadable: it was not written by `to_json` of this version.
        """
        try:
            return _evidence.validate_json(text)
        except ValidationError as error:
            raise EvidenceUnreadable(f"{error.error_count()} fields are not as they must be") from error


def _line(query: str) -> str:
    text = " ".join(query.split())
    return text if len(text) <= 300 else f"{text[:299]}…"


_evidence: TypeAdapter[Evidence] = TypeAdapter(Evidence)
