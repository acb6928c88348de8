"""Restores of branches: one is done however often it is asked for, and one that failed without effect is asked again.

Source: a restore is some operations; one that ends as failed may have taken effect all the same, and says nothing of
that. The branch tells by the time of its last reset, and by what keeps its state before.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from deployments.errors import OperationFailed
from deployments.neon.changes import Changes
from deployments.neon.identity import refuse_wrong_kept_branch
from deployments.neon.values import Branch, Changed

log = logging.getLogger(__name__)

ASKS: Final = 3
PAUSES_S: Final = (2.0, 8.0)


@dataclass(frozen=True)
class WantedRestore:
    """A restore that is asked for.

    Attributes:
        branch_id: the branch to restore.
        source_branch_id: where the state comes from; the branch itself for a point in its own history.
        source_lsn: the point; the newest state without.
        preserve_under_name: name of the branch that keeps the state before; None where nothing keeps it.
    """

    branch_id: str
    source_branch_id: str
    source_lsn: str | None
    preserve_under_name: str | None

    @property
    def body(self) -> dict[str, JsonValue]:
        """What Neon is asked for."""
        lsn = {} if self.source_lsn is None else {"source_lsn": self.source_lsn}
        kept = {} if self.preserve_under_name is None else {"preserve_under_name": self.preserve_under_name}
        return {"source_branch_id": self.source_branch_id, **lsn, **kept}


class Restores:
    """The restores of one project.

    Args:
        changes: the changes of the project.
        branch_by_id: reads a branch.
        named: the branch of a name; None where there is none.
    """

    def __init__(
        self, changes: Changes, *, branch_by_id: Callable[[str], Branch], named: Callable[[str], Branch | None]
    ) -> None:
        self._changes = changes
        self._branch_by_id = branch_by_id
        self._named = named

    def make(self, wanted: WantedRestore) -> Branch:
        """Restore a branch, or find that it was.

        Returns:
            The branch, ready for use.

        Raises:
            BranchNameTaken: a branch of the name to preserve under exists, and no restore of this branch made it.
            ServiceRefused: it is protected, or the point is not in the history.
            OperationFailed: it did not become ready, each time anew, and Neon shows no effect of it.
        """
        before = self._branch_by_id(wanted.branch_id)
        done = self._make_one(wanted, before)
        restored = self._branch_by_id(wanted.branch_id)
        if isinstance(done, Branch) and done.id != wanted.branch_id:
            refuse_wrong_kept_branch(done, restored, wanted.source_branch_id, wanted.source_lsn)
        return restored

    def _make_one(self, wanted: WantedRestore, before: Branch) -> Changed | Branch | None:
        path = f"/branches/{wanted.branch_id}/restore"

        def find() -> Branch | None:
            return self._effect(wanted, before)

        for ask in range(ASKS):
            try:
                return self._changes.make("POST", path, wanted.body, find=find, branch_id=wanted.branch_id)
            except OperationFailed as failed:
                # An operation that is told failed may have taken effect all the same: what stands decides.
                self._changes.wait_until_idle()
                now = self._branch_by_id(wanted.branch_id)
                if (found := find()) is not None and _was_reset(now, before):
                    log.warning("%s; but %s was restored, as Neon shows", failed, before.name)
                    return found
                if ask + 1 == ASKS or found is not None or not _is_as_it_was(now, before):
                    raise
                log.warning("%s, and %s is as it was: asking again", failed, before.name)
                time.sleep(PAUSES_S[ask])
        raise AssertionError("unreachable")

    def _effect(self, wanted: WantedRestore, before: Branch) -> Branch | None:
        """What shows that it was done; None where nothing does."""
        if wanted.preserve_under_name is not None:
            return self._named(wanted.preserve_under_name)
        now = self._branch_by_id(wanted.branch_id)
        return now if _was_reset(now, before) else None


def _was_reset(now: Branch, before: Branch) -> bool:
    return now.last_reset_at not in {None, before.last_reset_at}


def _is_as_it_was(now: Branch, before: Branch) -> bool:
    """Whether a branch serves the history that it did: it was not reset, and hangs where it hung."""
    return (
        now.current_state in {"ready", "archived"}
        and not _was_reset(now, before)
        and (now.parent_id, now.parent_lsn) == (before.parent_id, before.parent_lsn)
    )
