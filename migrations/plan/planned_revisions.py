"""A plan: the revisions to apply, as a value that can be read, judged, rehearsed, approved and applied."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from migrations.errors import ContractBelowExpand, SeveralHeads
from migrations.history.revisions import History, Revision
from migrations.plan.known_locks import with_known_locks
from migrations.recording.recorded_statements import RecordedStatement, Recording, Source, record_statements

CONTRACT = "contract"
EXPAND = "expand"


@dataclass(frozen=True)
class PlannedRevision:
    """A revision of a plan.

    Attributes:
        id: its name in the history.
        message: what it does, in a line.
        phase: expand or contract; a revision that does not say counts as expand.
        declared: whether the revision says its phase itself.
        checksum: SHA-256 of its file, hexadecimal.
        file: its file's name.
        statements: what it sends, in order.
        downgrade: what its downgrade sends; None where it has none that works on an empty database.
    """

    id: str
    message: str
    phase: str
    declared: bool
    checksum: str
    file: str
    statements: tuple[RecordedStatement, ...]
    downgrade: tuple[RecordedStatement, ...] | None

    @property
    def transactional(self) -> bool:
        """Whether all of it happens or nothing does."""
        return all(statement.transactional for statement in self.statements)

    @classmethod
    def of(cls, revision: Revision, recording: Recording) -> PlannedRevision:
        """A revision with what it was seen to send."""
        return cls(
            id=revision.id,
            message=revision.message,
            phase=revision.phase or EXPAND,
            declared=revision.phase is not None,
            checksum=revision.checksum,
            file=revision.path.name,
            statements=with_known_locks(recording.up.get(revision.id, ())),
            downgrade=recording.down.get(revision.id),
        )


@dataclass(frozen=True)
class Plan:
    """The revisions to apply, in order.

    Attributes:
        current: the revisions that stand.
        targets: the revisions that it ends at.
        commit: the application's commit; empty where only a schema is planned.
        revisions: what is to be applied, oldest first.
        source: whether the statements were recorded, or written by Alembic offline.
        note: what could not be known, and why.
    """

    current: tuple[str, ...]
    targets: tuple[str, ...]
    commit: str
    revisions: tuple[PlannedRevision, ...]
    source: Source
    note: str = ""

    @property
    def expand(self) -> tuple[PlannedRevision, ...]:
        """What comes before the application."""
        return tuple(one for one in self.revisions if one.phase != CONTRACT)

    @property
    def contract(self) -> tuple[PlannedRevision, ...]:
        """What comes after the application, once it has proven itself."""
        return tuple(one for one in self.revisions if one.phase == CONTRACT)

    @property
    def target(self) -> str:
        """The revision that the plan ends at.

        Raises:
            SeveralHeads: it ends at several.
        """
        if len(self.targets) != 1:
            raise SeveralHeads(self.targets)
        return self.targets[0]

    @property
    def expanded(self) -> str:
        """The revision that stands while the application is replaced: the newest before the contract revisions."""
        if not self.contract:
            return self.target
        below = [*self.current, *(one.id for one in self.expand)]
        if not below:
            raise ContractBelowExpand(self.contract[0].id, "anything else")
        return below[-1]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the revisions' bytes, the revisions that stand, and the application's commit.

        It tells nothing of how the plan was made, so that rehearsing a plan changes nothing that was approved.
        """
        bound = [
            sorted(self.current),
            sorted(self.targets),
            self.commit,
            [[one.id, one.checksum] for one in self.revisions],
        ]
        return hashlib.sha256(json.dumps(bound).encode()).hexdigest()

    def sql(self) -> str:
        """The statements as a file to read; applying it by hand would leave no mark in alembic_version."""
        return "\n".join(_as_file(one, one.statements) for one in self.revisions)

    def rollback_sql(self) -> str:
        """The downgrades as a file, newest revision first; it says where there is none."""
        parts: list[str] = []
        for one in reversed(self.revisions):
            parts.append(
                f"-- {one.id}: no way back is known\n" if one.downgrade is None else _as_file(one, one.downgrade)
            )
            if one.downgrade is None:
                break
        return "\n".join(parts)


def make_plan(
    dsn: str, history: History, *, current: Sequence[str], target: str | Sequence[str] = "head", commit: str = ""
) -> Plan:
    """Plan the way from where a database stands to a revision.

    Args:
        dsn: direct connection string of a server where a throwaway database may be made.
        history: the revisions.
        current: the revisions that stand.
        target: where the plan ends.
        commit: the application's commit, where one is released with it.

    Raises:
        ContractBelowExpand: the plan would have to contract before it expands.
        MigrationError: the history does not lead to the target, or the server refused.

    Locks: none outside of the throwaway database.
    """
    pending = history.path_to(target, current)
    refuse_contract_below_expand(pending)
    recording = record_statements(dsn, history, current=current, target=target)
    return Plan(
        current=tuple(current),
        targets=history.targets(target),
        commit=commit,
        revisions=tuple(PlannedRevision.of(revision, recording) for revision in pending),
        source=recording.source,
        note=recording.note,
    )


def refuse_contract_below_expand(pending: Sequence[Revision]) -> None:
    """Expand comes before the application, contract after: one plan cannot do a contract first.

    Raises:
        ContractBelowExpand: it would have to; the way out is named.
    """
    contract: Revision | None = None
    for one in pending:
        if one.phase == CONTRACT:
            contract = contract or one
        elif contract is not None:
            raise ContractBelowExpand(contract.id, one.id)


def _as_file(revision: PlannedRevision, statements: Sequence[RecordedStatement]) -> str:
    lines = [f"-- {revision.id}: {revision.message} ({revision.phase})"]
    inside = False
    for statement in statements:
        if statement.transactional != inside:
            lines.append("BEGIN;" if statement.transactional else "COMMIT;")
            inside = statement.transactional
        lines.append(f"{statement.sql.rstrip().rstrip(';')};")
    if inside:
        lines.append("COMMIT;")
    return "\n".join(lines) + "\n"
