"""Whether a branch that Neon has, or handed out, is the one that was asked for."""

from datetime import timedelta

from deployments.errors import BranchNameTaken, OperationFailed, WrongBranch
from deployments.neon.values import Branch

# A restore notes its time twice, and not by one clock.
_CLOCKS = timedelta(minutes=1)


def refuse_other_branch(branch: Branch, parent_id: str, parent_lsn: str | None) -> None:
    """Make sure that a branch is the new one asked for, whether it was just made or was found."""
    if branch.id == parent_id or branch.default:
        raise WrongBranch(f"Neon handed out {branch.id} as {branch.name}, which is its parent or the default branch")
    if branch.parent_id != parent_id:
        raise BranchNameTaken(branch.name, branch.id, f"its parent is {branch.parent_id}, not {parent_id}")
    if parent_lsn is not None and branch.parent_lsn != parent_lsn:
        raise BranchNameTaken(branch.name, branch.id, f"it begins at {branch.parent_lsn}, not {parent_lsn}")
    if branch.current_state not in {"ready", "archived"}:
        raise OperationFailed(
            f"Neon: branch {branch.name} ({branch.id}) is {branch.current_state}, and nothing works on it"
        )


def refuse_wrong_kept_branch(kept: Branch, restored: Branch, source_branch_id: str, source_lsn: str | None) -> None:
    """Make sure that a branch found under the name to preserve under was left there by the restore asked for.

    Source: after a restore from itself a root and what keeps its former state are both roots, and any other branch is a
    child of what keeps its former state; after a restore from another branch it is a child of that one.
    """
    why = ""
    if kept.parent_id == restored.id:
        why = f"it was branched off {restored.name}"
    elif source_branch_id == restored.id:
        if restored.parent_id == kept.id and kept.parent_id is None:
            why = f"{restored.name} was restored from it since"
        elif restored.parent_id != (kept.id if restored.parent_id else kept.parent_id):
            why = f"{restored.name} does not descend from it, nor are both roots"
    elif restored.parent_id != source_branch_id or source_lsn not in {None, restored.parent_lsn}:
        why = f"{restored.name} was not restored from {source_branch_id} since"
    if not why and restored.last_reset_at is not None and restored.last_reset_at < kept.created_at - _CLOCKS:
        why = f"{restored.name} was not restored since it was made"
    if why:
        raise BranchNameTaken(kept.name, kept.id, why)
