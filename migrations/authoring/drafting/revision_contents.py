"""Changes put together as revisions: expand before contract, and what needs a revision of its own alone in one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from migrations.authoring.drafting._comments_and_grants import comment_changes, grant_changes
from migrations.authoring.drafting._enums import enum_changes
from migrations.authoring.drafting._standalone_objects import (
    create_schema_changes,
    domain_changes,
    function_changes,
    sequence_changes,
    view_changes,
)
from migrations.authoring.drafting._table_objects import (
    constraint_changes,
    index_changes,
    policy_changes,
    trigger_changes,
)
from migrations.authoring.drafting._tables import column_changes, table_changes
from migrations.authoring.drafting.names import last, plain
from migrations.authoring.drafting.schema_changes import Comparison, Phase, Rank, SchemaChange

_CHANGES = (
    create_schema_changes,
    enum_changes,
    domain_changes,
    sequence_changes,
    function_changes,
    table_changes,
    column_changes,
    constraint_changes,
    index_changes,
    view_changes,
    trigger_changes,
    policy_changes,
    comment_changes,
    grant_changes,
)


@dataclass(frozen=True)
class RevisionContent:
    """What a drafted revision does.

    Attributes:
        phase: expand or contract.
        up: its statements.
        down: the statements that take it back, in order.
        concurrently: whether it works outside a transaction.
        label: what tells it from the other revisions of the same draft; empty for the plain one.
        subjects: what it changes.
    """

    phase: Phase
    up: tuple[str, ...]
    down: tuple[str, ...]
    concurrently: bool = False
    label: str = ""
    subjects: tuple[str, ...] = ()


def contents_of(compared: Comparison) -> tuple[RevisionContent, ...]:
    """The revisions that it takes to get from the first catalogue to the second, in order."""
    changes = sorted(chain.from_iterable(each(compared) for each in _CHANGES), key=lambda one: one.rank)
    found: list[RevisionContent] = []
    for phase in ("expand", "contract"):
        ours = [one for one in changes if one.phase == phase]
        plain_ones = [one for one in ours if not one.alone]
        found += _together(phase, [one for one in ours if one.alone == "label"], "labels")
        found += _alone(phase, [one for one in ours if _is_concurrent(one) and one.rank < Rank.TABLE])
        found += _together(phase, plain_ones, "contract" if phase == "contract" else "")
        found += _alone(phase, [one for one in ours if _is_concurrent(one) and one.rank > Rank.TABLE])
        found += _together(phase, [one for one in ours if one.alone == "validate"], "validate")
    return tuple(found)


def _is_concurrent(one: SchemaChange) -> bool:
    return one.alone == "concurrently"


def _together(phase: Phase, changes: Sequence[SchemaChange], label: str) -> Iterable[RevisionContent]:
    up = tuple(chain.from_iterable(one.up for one in changes))
    down = tuple(chain.from_iterable(one.down for one in reversed(changes)))
    if up or down:
        yield RevisionContent(phase, up, down, label=label, subjects=tuple(one.subject for one in changes))


def _alone(phase: Phase, changes: Sequence[SchemaChange]) -> Iterable[RevisionContent]:
    for one in changes:
        label = plain(last(one.subject.partition(" ")[2])).lower()
        if one.rank < Rank.TABLE:
            label = f"drop_{label}"
        yield RevisionContent(phase, one.up, one.down, concurrently=True, label=label, subjects=(one.subject,))
