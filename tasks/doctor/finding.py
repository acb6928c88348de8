"""What is told of one thing that a release needs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from deployments.errors import DeploymentError
from migrations.disclosure.sentences import clause
from migrations.errors import MigrationError


class State(StrEnum):
    """How a thing stands."""

    GOOD = "good"
    BAD = "bad"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        line: what was looked at.
        state: how it stands.
        detail: what was found.
        advice: what to do; empty where there is nothing to do.
    """

    line: str
    state: State
    detail: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.line}: {self.detail}{f'. What to do: {self.advice}' if self.advice else ''}"


def good(line: str, detail: str, advice: str = "") -> Finding:
    """A thing that is as it must be; the advice is what would be better still."""
    return Finding(line, State.GOOD, detail, advice)


def bad(line: str, detail: str, advice: str) -> Finding:
    """A thing that keeps a release from running or from being taken back."""
    return Finding(line, State.BAD, detail, advice)


def cannot_tell(line: str, detail: str, advice: str = "") -> Finding:
    """A thing that could not be found out."""
    return Finding(line, State.CANNOT_TELL, detail, advice)


Look = Callable[[], Iterator[Finding]]


def looked_at(line: str, look: Look, advice: str) -> Iterator[Finding]:
    """The findings of a look; where it cannot be taken, what stood in its way is the finding.

    Args:
        line: what is looked at.
        look: finds; it raises where it cannot.
        advice: what to do where it cannot.
    """
    try:
        yield from look()
    except (DeploymentError, MigrationError) as error:
        yield bad(line, clause(str(error)), advice)


def worst(findings: Iterable[Finding]) -> State:
    """How it stands with all of them: bad where one is, else cannot tell where one cannot be told."""
    states = {one.state for one in findings}
    return next((one for one in (State.BAD, State.CANNOT_TELL) if one in states), State.GOOD)
