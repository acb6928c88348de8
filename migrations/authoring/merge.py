"""Heads that diverged: what each changes, whether their order matters, and the revision that merges them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from pathlib import Path
from typing import Final

from migrations.apply.migrate import upgrade
from migrations.authoring.drafting.draft import next_ids
from migrations.authoring.drafting.files import revision_text
from migrations.authoring.drafting.revision_contents import RevisionContent
from migrations.authoring.errors import NotMergeable
from migrations.catalog.contents import Catalog, Difference, difference, read_catalog
from migrations.database.session import reader
from migrations.errors import RevisionFailed
from migrations.history.revisions import History, Revision
from migrations.recording.throwaway import throwaway_database

RELEASE = "merge"
# Up to so many heads are tried in every order; of more, each is tried first and last.
EVERY_ORDER = 3

_DOWN_REVISION: Final = re.compile(r"^down_revision\b[^=\n]*=.*$", re.MULTILINE)
_REVISES: Final = re.compile(r"^Revises:.*$", re.MULTILINE)


@dataclass(frozen=True)
class Branch:
    """The revisions that only one head has.

    Attributes:
        head: its last revision.
        revisions: its own revisions, oldest first.
        changes: what they do to the catalogue that all heads share.
    """

    head: str
    revisions: tuple[Revision, ...]
    changes: tuple[Difference, ...]


@dataclass(frozen=True)
class OrderTrial:
    """The outcome of applying the heads in one order.

    Attributes:
        order: the heads in the order in which they were applied.
        failure: why it could not be applied; empty where it could.
        differences: how the catalogue differs from the one after the first order that could be applied.
    """

    order: tuple[str, ...]
    failure: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Divergence:
    """Heads that diverged, and the outcome of applying them in different orders.

    Attributes:
        branches: one a head.
        trials: every order that was tried, with its outcome.
    """

    branches: tuple[Branch, ...]
    trials: tuple[OrderTrial, ...]

    @property
    def order_matters(self) -> bool:
        """Whether some order fails, or builds another catalogue."""
        return any(one.failure or one.differences for one in self.trials)


def examine_divergence(dsn: str, history: History) -> Divergence:
    """Apply the heads in each order to throwaway databases, and compare the catalogues.

    Args:
        dsn: direct connection string of a server where throwaway databases may be made.
        history: the revisions.

    Raises:
        NotMergeable: there are no two heads.
        RevisionFailed: a head cannot be applied even alone.
        MigrationError: the server refused.

    Locks: none outside of the throwaway databases.
    """
    heads = history.heads
    if len(heads) < 2:
        raise NotMergeable(f"the history has {'one head, ' + heads[0] if heads else 'no revisions'}: nothing to merge")
    paths = {head: history.with_ancestors([head]) for head in heads}
    below = [one.id for one in history.revisions if all(one.id in path for path in paths.values())]
    branches = tuple(_branch(dsn, history, below, head, paths[head]) for head in heads)
    orders = list(permutations(heads)) if len(heads) <= EVERY_ORDER else _rotations(heads)
    reached: Catalog | None = None
    trials: list[OrderTrial] = []
    for order in orders:
        try:
            found = _build(dsn, history, order)
        except RevisionFailed as error:
            trials.append(OrderTrial(order, str(error), ()))
            continue
        reached = reached or found
        trials.append(OrderTrial(order, "", difference(reached, found)))
    return Divergence(branches, tuple(trials))


def write_merge(history: History, folder: Path) -> Path:
    """Write the revision that follows all heads and does nothing.

    Args:
        history: the revisions.
        folder: where the file goes.
    """
    heads = history.heads
    (revision,) = next_ids(history, 1)
    text = revision_text(
        RevisionContent("expand", (), ()), revision=revision, below=heads, message=f"Merge {' and '.join(heads)}"
    )
    path = folder / f"{revision}_update_merge_{'_'.join(re.findall('[a-z0-9]+', '_'.join(heads).lower()))}.py"
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def linearize(divergence: Divergence, order: Sequence[str]) -> tuple[Path, ...]:
    """Make the history linear: the first revision of each branch follows the head of the branch before it.

    Args:
        divergence: the heads.
        order: all of them, in the order in which they shall be applied.

    Returns:
        The files that were changed.

    Raises:
        NotMergeable: the order does not name each head once, or fails, or a file does not say in one line what it
            follows.
    """
    branches = {one.head: one for one in divergence.branches}
    if sorted(order) != sorted(branches):
        raise NotMergeable(f"the order must name each head once: {', '.join(branches)}")
    failed = next((one.failure for one in divergence.trials if one.order == tuple(order)), "")
    if failed:
        raise NotMergeable(f"{' then '.join(order)} cannot be applied: {failed}")
    texts: dict[Path, str] = {}
    for before, after in pairwise(order):
        own = {one.id for one in branches[after].revisions}
        first = [one for one in branches[after].revisions if not own.intersection(one.down_revisions)]
        for one in first:
            text, count = _DOWN_REVISION.subn(f'down_revision = "{before}"', one.path.read_text("utf-8"))
            if count != 1:
                raise NotMergeable(f"{one.path.name} does not say its down_revision in one line: change it by hand")
            texts[one.path] = _REVISES.sub(f"Revises: {before}", text, count=1)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    return tuple(texts)


def _branch(dsn: str, history: History, below: Sequence[str], head: str, path: Sequence[str]) -> Branch:
    own = tuple(history.revision(one) for one in path if one not in set(below))
    with throwaway_database(dsn) as database:
        if below:
            _upgrade(database, history, _heads_of(history, below))
        with reader(database) as connection:
            before = read_catalog(connection)
        _upgrade(database, history, (head,))
        with reader(database) as connection:
            return Branch(head, own, difference(before, read_catalog(connection)))


def _build(dsn: str, history: History, order: Sequence[str]) -> Catalog:
    with throwaway_database(dsn) as database:
        _upgrade(database, history, order)
        with reader(database) as connection:
            return read_catalog(connection)


def _upgrade(database: str, history: History, targets: Sequence[str]) -> None:
    for target in targets:
        upgrade(database, history, target=target, release_id=RELEASE, record=False)


def _heads_of(history: History, revisions: Sequence[str]) -> tuple[str, ...]:
    """Those of some revisions that are no other one's down_revision."""
    followed = {down for one in revisions for down in history.revision(one).down_revisions}
    return tuple(one for one in revisions if one not in followed)


def _rotations(heads: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [heads[place:] + heads[:place] for place in range(len(heads))]
