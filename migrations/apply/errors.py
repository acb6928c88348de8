"""What goes wrong while revisions are applied; all of it is a MigrationError.

```
MigrationError
├── StatementTooLong            a statement that stops others ran for longer than it may
├── OwnerLacksRight             the role may not do what the revisions do; nothing was written
├── HalfApplied                 a revision was cut off half-way, and how to go on is not certain
├── IndexInTheWay               an index stands in the place of one that is to be built
└── NotHeld                     whoever applies revisions may not any more
```
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.disclosure.normalized_statements import normalized
from migrations.disclosure.sentences import sentence
from migrations.errors import MigrationError


class NotHeld(MigrationError):
    """Whoever applies revisions may not any more, or it could not be told: nothing more was sent."""

    def __init__(self, error: Exception) -> None:
        self.transient = bool(getattr(error, "transient", False))
        super().__init__(f"no statement was sent any more: {error}")


class StatementTooLong(MigrationError):
    """A statement that stops others ran for longer than it may, and was cancelled.

    Attributes:
        revision: the revision.
        statement: the statement.
        limit_ms: how long it might run, the wait for its locks included.
        relations: what it locked meanwhile.
        left_behind: what stands though the revision does not.
    """

    def __init__(
        self, revision: str, statement: str, limit_ms: int, relations: Sequence[str], left_behind: Sequence[str] = ()
    ) -> None:
        self.revision = revision
        self.statement = normalized(statement)
        self.limit_ms = limit_ms
        self.relations = tuple(relations)
        self.left_behind = tuple(left_behind)
        after = (
            f"It works outside a transaction and left: {', '.join(left_behind)}"
            if left_behind
            else "Its transaction was rolled back; it left nothing"
        )
        super().__init__(
            f"revision {revision} kept {', '.join(relations)} from others for {limit_ms / 1000:g} s and was cancelled"
            f" in: {normalized(statement)}. {after}. Take the way that holds no lock meanwhile"
            " (pilotage lint names it), or allow it longer (--statement-timeout-s), when nobody has to wait for it"
        )


class OwnerLacksRight(MigrationError):
    """The role may not do what the revisions do; nothing was written.

    Attributes:
        role: the role.
    """

    def __init__(self, where: str, role: str, lacking: str, instead: str) -> None:
        self.role = role
        super().__init__(f"{role} cannot apply the revisions to {where}: {lacking}. Nothing was written; {instead}")


class HalfApplied(MigrationError):
    """A revision was cut off half-way outside a transaction, and how to go on is not certain.

    Attributes:
        revision: the revision.
        committed: its statements that stand, the first of them where there are many.
        under_way: the statement that was under way; empty where none was.
    """

    def __init__(self, revision: str, committed: Sequence[str], under_way: str) -> None:
        self.revision = revision
        self.committed = committed = tuple(normalized(one)[:300] for one in committed)
        self.under_way = under_way = normalized(under_way)[:300]
        parts = [f"these statements of it stand: {'; '.join(committed)}"] if committed else []
        if under_way:
            parts.append(f"this was under way, and whether it was done is not known: {under_way}")
        super().__init__(
            f"revision {revision} was cut off half-way outside a transaction: {', and '.join(parts)}. Nothing of it is"
            " sent again. Bring the database by hand to where the revision is applied in full, and say so: pilotage"
            f" resolve --applied {revision}; or to where nothing of it is left: pilotage resolve --rolled-back"
            f" {revision} (with the options that name the project, as for apply). A revision that works outside a"
            " transaction is best one statement alone"
        )


class IndexInTheWay(MigrationError):
    """An index stands in the place of one that is to be built.

    Attributes:
        revision: the revision that builds it.
        index: its name.
    """

    def __init__(self, revision: str, index: str, why: str) -> None:
        self.revision = revision
        self.index = index
        super().__init__(
            f"revision {revision} cannot build index {index}: {sentence(why)} Drop it (DROP INDEX CONCURRENTLY)"
            " or rename it, and apply again; or, where it is what the revision promises, say so:"
            f" pilotage resolve --applied {revision}"
        )
