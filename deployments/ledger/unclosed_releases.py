"""What a release that nobody finished has left, read from its own steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deployments.ledger.values import Json, Release, Step


@dataclass(frozen=True, slots=True)
class ReleaseLeftovers:
    """What a release has begun and not finished, and what it made or changed.

    Attributes:
        unfinished: The steps that were begun, and neither done nor failed.
        branches: Branches that it made, or was about to make.
        deployments: Deployments that it made, or was about to make.
        maintenance: Whether the application was put into maintenance mode, and not taken out.
        protection_lifted: Whether production's branch was left unprotected.
    """

    release: Release
    unfinished: tuple[Step, ...]
    branches: tuple[str, ...]
    deployments: tuple[str, ...]
    maintenance: bool
    protection_lifted: bool


def read_leftovers(release: Release, steps: Sequence[Step]) -> ReleaseLeftovers:
    """Read what a release left from its steps.

    A step's details name what it makes, before and after the act: `branch`, `deployment` (one name or several);
    `branch_deleted`, `deployment_deleted` take them off again; `maintenance` and `protection_lifted` are true or false,
    and the last word counts.

    Args:
        release: The release.
        steps: Its steps, in their order.
    """
    open_steps: list[Step] = []
    for step in steps:
        if step.event == "begun":
            open_steps.append(step)
        elif step.event in {"done", "failed"}:
            begun = next((other for other in reversed(open_steps) if other.step == step.step), None)
            if begun is not None:
                open_steps.remove(begun)
    details = [step.details for step in steps]
    return ReleaseLeftovers(
        release=release,
        unfinished=tuple(open_steps),
        branches=_made(details, "branch"),
        deployments=_made(details, "deployment"),
        maintenance=_last_word(details, "maintenance"),
        protection_lifted=_last_word(details, "protection_lifted"),
    )


def reached(left: ReleaseLeftovers, steps: Sequence[Step]) -> str:
    """How far a release had come, in words: in which act, or after which.

    Args:
        left: what it had begun and not ended.
        steps: its steps.
    """
    if left.unfinished:
        return f"in `{left.unfinished[-1].step}`"
    ended = next((one for one in reversed(steps) if one.event in {"done", "failed"}), None)
    if ended is None:
        return "before its first act"
    # An act that was left half-way because of it is written as failed: it was not got past.
    return f"{'after' if ended.event == 'done' else 'in'} `{ended.step}`"


def _made(details: Iterable[Mapping[str, Json]], key: str) -> tuple[str, ...]:
    made: dict[str, None] = {}
    for each in details:
        made.update(dict.fromkeys(_names(each.get(key))))
        for name in _names(each.get(f"{key}_deleted")):
            made.pop(name, None)
    return tuple(made)


def _names(value: Json) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, Sequence):
        return tuple(name for name in value if isinstance(name, str))
    return ()


def _last_word(details: Iterable[Mapping[str, Json]], key: str) -> bool:
    said = False
    for each in details:
        said = bool(each.get(key, said))
    return said
