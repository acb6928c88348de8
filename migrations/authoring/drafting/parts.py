"""Changes put together as revisions: expand before contract, and what needs a revision of its own alone in one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from migrations.authoring.drafting._attached import constraint_units, index_units, policy_units, trigger_units
from migrations.authoring.drafting._enums import enum_units
from migrations.authoring.drafting._remarks import comment_units, grant_units
from migrations.authoring.drafting._standing import (
    domain_units,
    function_units,
    schema_units,
    sequence_units,
    view_units,
)
from migrations.authoring.drafting._tables import column_units, table_units
from migrations.authoring.drafting.names import last, plain
from migrations.authoring.drafting.units import Comparison, Phase, Rank, Unit

_MAKERS = (
    schema_units,
    enum_units,
    domain_units,
    sequence_units,
    function_units,
    table_units,
    column_units,
    constraint_units,
    index_units,
    view_units,
    trigger_units,
    policy_units,
    comment_units,
    grant_units,
)


@dataclass(frozen=True)
class Part:
    """What one revision does.

    Attributes:
        phase: expand or contract.
        up: its statements.
        down: the statements that take it back, in order.
        concurrently: whether it works outside a transaction.
        label: what tells it from the other parts of the same draft; empty for the plain one.
        subjects: what it changes.
    """

    phase: Phase
    up: tuple[str, ...]
    down: tuple[str, ...]
    concurrently: bool = False
    label: str = ""
    subjects: tuple[str, ...] = ()


def parts_of(compared: Comparison) -> tuple[Part, ...]:
    """The revisions that it takes to get from the first catalogue to the second, in order."""
    units = sorted(chain.from_iterable(make(compared) for make in _MAKERS), key=lambda one: one.rank)
    found: list[Part] = []
    for phase in ("expand", "contract"):
        ours = [one for one in units if one.phase == phase]
        plain_ones = [one for one in ours if not one.alone]
        found += _together(phase, [one for one in ours if one.alone == "label"], "labels")
        found += _alone(phase, [one for one in ours if _is_concurrent(one) and one.rank < Rank.TABLE])
        found += _together(phase, plain_ones, "contract" if phase == "contract" else "")
        found += _alone(phase, [one for one in ours if _is_concurrent(one) and one.rank > Rank.TABLE])
        found += _together(phase, [one for one in ours if one.alone == "validate"], "validate")
    return tuple(found)


def _is_concurrent(one: Unit) -> bool:
    return one.alone == "concurrently"


def _together(phase: Phase, units: Sequence[Unit], label: str) -> Iterable[Part]:
    up = tuple(chain.from_iterable(one.up for one in units))
    down = tuple(chain.from_iterable(one.down for one in reversed(units)))
    if up or down:
        yield Part(phase, up, down, label=label, subjects=tuple(one.subject for one in units))


def _alone(phase: Phase, units: Sequence[Unit]) -> Iterable[Part]:
    for one in units:
        label = plain(last(one.subject.partition(" ")[2])).lower()
        if one.rank < Rank.TABLE:
            label = f"drop_{label}"
        yield Part(phase, one.up, one.down, concurrently=True, label=label, subjects=(one.subject,))
