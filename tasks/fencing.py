"""The fence of a run: a service is asked for a change only within an act, and only while the act's release is held."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from deployments.ledger import Ledger, Release
from migrations.history.guard_row import Fence, Holder
from tasks.acts import RULES, Act
from tasks.errors import TaskError


class ChangeOutsideAct(TaskError):
    """A change was about to be asked for that no act of the ledger's makes: a mistake in the program."""


@dataclass(frozen=True)
class OpenAct:
    """An act that the ledger has as begun, and not yet as ended.

    Attributes:
        ledger: where it is written; open while the act is.
        release_id: the release that it belongs to.
        act: which one it is.
        fence: the number of the lease under which it was begun; None where nobody has to hold the release.
    """

    ledger: Ledger
    release_id: str
    act: Act
    fence: int | None


_open_act: ContextVar[OpenAct | None] = ContextVar("open_act", default=None)
# The releases that this process holds, each as it was when its lease was taken.
_held: dict[str, Release] = {}


@contextmanager
def holding(release: Release) -> Generator[None]:
    """This process holds a release while the block runs."""
    _held[release.id] = release
    try:
        yield
    finally:
        del _held[release.id]


def fence_of(release_id: str) -> int | None:
    """The number of the lease under which this process holds a release; None where it does not."""
    release = _held.get(release_id)
    return None if release is None else release.fence


def holder_of(release_id: str) -> Holder | None:
    """This process as the guard row of a database names it; None where it does not hold the release."""
    release = _held.get(release_id)
    return None if release is None else Holder(release.id, release.started_at, release.fence)


@contextmanager
def within(act: OpenAct) -> Generator[None]:
    """What the block changes belongs to an act."""
    token = _open_act.set(act)
    try:
        yield
    finally:
        _open_act.reset(token)


def open_act() -> Act | None:
    """The act that is open now; None where none is."""
    act = _open_act.get()
    return None if act is None else act.act


def statement_fence() -> Fence:
    """What lets a statement and a commit of a revision through, by the act that is open now.

    Locks may be held meanwhile: a ledger that is away is not waited for, and nothing more is sent.
    """
    act = _open_act.get()

    def check() -> None:
        if act is None:
            raise ChangeOutsideAct("no statement of a revision was sent: it belongs to no act that the ledger has")
        act.ledger.check_fence(act.release_id, act.fence, patient=False)

    return Fence(check, None if act is None else holder_of(act.release_id))


class ActFence:
    """Lets a change through that belongs to an act of a release that this process still holds."""

    def check(self, change: str) -> None:
        """Ask the ledger, right before a change is sent.

        Args:
            change: what is about to be asked for.

        Raises:
            ChangeOutsideAct: it belongs to no act, or to another one than the one that is open.
            LeaseLost: the release was closed, or another process has taken it over.
            LedgerUnreachable: that cannot be told: nothing is sent.
        """
        act = _open_act.get()
        if act is None:
            raise ChangeOutsideAct(f"{change} was not sent: it belongs to no act that the ledger has")
        if not RULES[act.act].allows(change):
            raise ChangeOutsideAct(f"{change} was not sent: the act {act.act.value!r} makes no such change")
        act.ledger.check_fence(act.release_id, act.fence)
