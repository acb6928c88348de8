"""Why a step of the checklist stopped.

TaskError
├── NotReady           the release cannot start: nothing was touched
├── RehearsalFailed    the plan did not stand its trial on a branch: production was not touched
├── StagingFailed      staging did not take it: production was not touched
├── MigrationFailed    a revision did not go through in production
├── ContractFailed     a contract revision did not go through; the new build serves, and was found good
├── ApplicationFailed  the new build is not fit for production
├── SchemaFailed       the catalogue is not what the revisions promise
├── DataFailed         rows are missing, orphaned or wrong
├── ProcessDied        the process of the release is gone, or has lost its lease
├── CannotTell         a measurement could not be had or was too thin to judge
├── MovedMeanwhile     somebody else has moved what the release was about to move
└── RollbackFailed     a way back could not be walked to its end
    └── NoRoom         Neon's plan has no room for what a restore leaves

`transient` says whether the same step may succeed if it is tried again: the retry condition of every task reads
only that.
"""

from migrations.disclosure.sentences import clauses, sentence
from tasks.values import Verdict


class TaskError(Exception):
    """A step of the checklist stopped.

    Attributes:
        transient: whether trying again may help.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class NotReady(TaskError):
    """The release cannot start; nothing was touched."""

    @classmethod
    def of(cls, what: str, *reasons: str) -> "NotReady":
        """The error with why something, a release or a rehearsal, cannot start."""
        return cls(f"the {what} cannot start: {sentence(clauses(reasons))} Nothing was touched.")


class RehearsalFailed(TaskError):
    """The plan did not stand its trial on a branch of production; production was not touched."""


class StagingFailed(TaskError):
    """Staging did not take the release; production was not touched."""


class MigrationFailed(TaskError):
    """A revision did not go through in production.

    Attributes:
        in_the_way: whether it was what stood in its way, such as somebody's lock, and not the revision itself.
    """

    def __init__(self, message: str, *, transient: bool = False, in_the_way: bool = False) -> None:
        super().__init__(message, transient=transient)
        self.in_the_way = in_the_way or transient


class ContractFailed(TaskError):
    """A contract revision did not go through in production; the new build serves, and was found good."""


class ApplicationFailed(TaskError):
    """The new build is not fit for production."""


class SchemaFailed(TaskError):
    """The live catalogue is not what the revisions promise."""


class DataFailed(TaskError):
    """Rows are missing, orphaned or wrong."""


class ProcessDied(TaskError):
    """The process of a release is gone, or has lost its lease; nothing else is known to have failed."""


class CannotTell(TaskError):
    """A measurement could not be had, or was too thin to judge."""


class MovedMeanwhile(TaskError):
    """Somebody else has moved what the release was about to move: it is left as it is."""


class RollbackFailed(TaskError):
    """A way back could not be walked to its end: a person has to take over."""


class NoRoom(RollbackFailed):
    """Neon's plan has no room for the state before a restore; nothing was restored.

    Attributes:
        leads_on: what makes room, and what goes on then.
    """

    def __init__(self, message: str, *, makes_room: str, undone_id: str) -> None:
        again = f"`pilotage rollback {undone_id} --way data` goes on"
        self.leads_on = f"{sentence(makes_room)} Then {again}"
        super().__init__(f"{sentence(message)} {sentence(self.leads_on)}")


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help, by the `transient` attribute that every room's errors carry."""
    return bool(getattr(error, "transient", False))


def verdict_error(verdicts: tuple[Verdict, ...]) -> TaskError | None:
    """The error that a set of verdicts amounts to: data before schema before application before cannot tell."""
    kinds = {"data": DataFailed, "schema": SchemaFailed, "application": ApplicationFailed}
    for subject, kind in kinds.items():
        failed = [v for v in verdicts if v.passed is False and v.subject.value == subject]
        if failed:
            return kind(clauses(_text(v) for v in failed))
    unknown = [v for v in verdicts if v.passed is None]
    if unknown:
        return CannotTell(clauses(_text(v) for v in unknown))
    return None


def _text(verdict: Verdict) -> str:
    text = f"{verdict.check}: {verdict.measured} (limit {verdict.threshold})"
    return f"{text}: {verdict.detail}" if verdict.detail else text
