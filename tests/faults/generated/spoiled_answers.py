"""What may become of a call: refused, lost, unreadable, late, or accepted and never done."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.generated.calls import CALLS, Call

HTML = "<html><head><title>Error</title></head><body><h1>Please wait</h1></body></html>"
_BUSY = '{"code": "", "message": "project already has running conflicting operations"}'
LASTING = 1000
# How many kinds each change of a recovery meets.
OF_A_RECOVERY = 5


@dataclass(frozen=True)
class Spoiled:
    """One kind.

    Attributes:
        name: its name.
        fault: what the local platform is told.
        lasts: whether it goes on until the flow has ended.
        may_need_person: whether a person may be asked for one command, though it passes.
    """

    name: str
    fault: Mapping[str, Any]
    lasts: bool = False
    may_need_person: bool = False


_REFUSED = (
    Spoiled("423 twice", {"status": 423, "body": _BUSY, "times": 2}),
    Spoiled("429 twice", {"status": 429, "body": "{}", "headers": {"Retry-After": "0.2"}, "times": 2}),
    Spoiled("500", {"status": 500, "body": "{}"}),
    Spoiled("503 twice", {"status": 503, "body": "", "times": 2}),
    Spoiled("cut before", {"cut": True}),
)
_SPOILED_AFTER = (
    Spoiled("HTML", {"when": "after", "status": 200, "body": HTML, "headers": {"content-type": "text/html"}}),
    Spoiled("truncated", {"when": "after", "truncated": True}),
    Spoiled("cut after", {"when": "after", "cut": True}),
)
_OF_CHANGES = (
    # A key that is refused is nothing that passes: a person may be asked, though it was refused once only.
    Spoiled("401", {"status": 401, "body": '{"message": "unauthorized"}'}, may_need_person=True),
    Spoiled("500 after the effect", {"when": "after", "status": 500, "body": "{}"}),
    # Longer than an answer is waited for in a flow of the suite.
    Spoiled("late effect", {"delay_s": 7}),
)
_LASTING = (
    Spoiled("503 for good", {"status": 503, "body": "", "times": LASTING}, lasts=True),
    Spoiled("500 for good", {"status": 500, "body": "{}", "times": LASTING}, lasts=True),
)
_NEVER_ENDS = Spoiled("work never ends", {"work": "never"}, lasts=True)
# What a service itself tells as failed is not asked for again.
_WORK = (Spoiled("work fails", {"work": "failed"}, may_need_person=True), _NEVER_ENDS)
# But for a restore, of which is seen that nothing has happened.
_RESTORE = (
    Spoiled("work fails twice", {"work": "failed", "times": 2}),
    Spoiled("work fails for good", {"work": "failed", "times": LASTING}, lasts=True),
    _NEVER_ENDS,
)
_OF_READS = (*_REFUSED, *_SPOILED_AFTER, *_LASTING)


def kinds(call: Call) -> tuple[Spoiled, ...]:
    """What may become of a change."""
    work = _RESTORE if call.path.endswith("/restore") else _WORK if call.begins_work else ()
    return (*_REFUSED, *_SPOILED_AFTER, *_OF_CHANGES, *_LASTING, *work)


def spoiled(flow: str) -> Iterator[tuple[Call, Spoiled]]:
    """The calls of a flow, each with what may become of it.

    Each change of a release and of a rollback meets every kind. The changes of a recovery are those of a rollback: each
    of them meets some of the kinds, in turn. A read of a path meets the kinds in turn, a kind an act: what reads it is
    the same code in each.
    """
    turns: dict[tuple[str, str, str], int] = {}
    for call in (one for one in CALLS if one.flow == flow):
        every = kinds(call) if call.changes else _OF_READS
        met = 1 if not call.changes else OF_A_RECOVERY if flow.startswith("recover") else len(every)
        path = (call.method, call.service, call.path)
        turn = turns.get(path, len(turns))
        turns[path] = turn + met
        yield from ((call, every[(turn + number) % len(every)]) for number in range(met))
