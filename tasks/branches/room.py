"""Room in Neon's plan for what a restore leaves: how much is missing, and which branch may go to make it."""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.errors import ServiceRefused
from deployments.neon.client import Branch
from deployments.settings import Settings, variable
from tasks import connections
from tasks.errors import NoRoom
from tasks.release_history import ReleaseHistory

KEPT, SNAPSHOT = "before-rollback-", "release-"
_UNPROCESSABLE = 422


@dataclass(frozen=True)
class Spare:
    """A branch that may go.

    Attributes:
        branch: the branch.
        why: why nothing needs it.
        under: the names of what hangs under it.
    """

    branch: Branch
    why: str
    under: tuple[str, ...]


def missing_room(settings: Settings, undone_id: str, branches: Sequence[Branch], production: Branch) -> NoRoom | None:
    """The room that the state before a restore needs and that the plan has not, by the settings; None where it has.

    Args:
        settings: the worker's settings.
        undone_id: the release that is undone.
        branches: all branches.
        production: production's.
    """
    roots = [branch for branch in branches if branch.parent_id is None]
    for is_root, has, setting in (
        (True, roots, "neon_root_branch_limit"),
        (False, branches, "neon_branch_limit"),
    ):
        limit = int(getattr(settings, setting))
        if len(has) < limit or (is_root and production.parent_id is not None):
            continue
        kind = "root branches" if is_root else "branches"
        return NoRoom(
            f"production cannot be restored: Neon has {len(has)} {kind} of {limit}, and a restore leaves one more "
            f"(where the plan has more, set {variable(setting)}). Its data were not touched.",
            makes_room=_what_makes_room(settings, branches, production, roots=is_root),
            undone_id=undone_id,
        )
    return None


def refused_for_room(
    settings: Settings, undone_id: str, refused: ServiceRefused, branches: Sequence[Branch], production: Branch
) -> NoRoom | None:
    """The same, where Neon itself says so: its plan has less than the settings say. None for any other refusal."""
    said = f"{refused.code} {refused.message}".lower()
    if refused.status != _UNPROCESSABLE or "limit" not in said or "branches" not in said:
        return None
    is_root = "root" in said
    setting = "neon_root_branch_limit" if is_root else "neon_branch_limit"
    return NoRoom(
        f"production cannot be restored: {refused}. The plan has less than {variable(setting)} says, which is "
        f"{getattr(settings, setting)}: set it to what the plan has. Its data were not touched.",
        makes_room=_what_makes_room(settings, branches, production, roots=is_root),
        undone_id=undone_id,
    )


def _what_makes_room(settings: Settings, branches: Sequence[Branch], production: Branch, *, roots: bool) -> str:
    """The command that makes room, and why what it deletes may go."""
    spare = spare_branches(settings, branches, production, roots=roots)
    if not spare:
        return "nothing is left over that may be deleted: the Neon plan needs more branches"
    one = min(spare, key=lambda each: (len([*_first(settings, each)]), each.branch.created_at))
    staging = " --reset-staging" if settings.neon_staging_branch in one.under else ""
    first = "".join(f"`pilotage branch delete {name}`, then " for name in _first(settings, one))
    return f"{first}`pilotage branch delete {one.branch.name}{staging}` makes room: {one.why}"


def _first(settings: Settings, spare: Spare) -> list[str]:
    return [name for name in spare.under if name != settings.neon_staging_branch]


def spare_branches(
    settings: Settings, branches: Sequence[Branch], production: Branch, *, roots: bool
) -> tuple[Spare, ...]:
    """The branches that may go, each with why.

    Args:
        settings: the worker's settings.
        branches: all branches.
        production: production's.
        roots: whether only a root branch makes room.
    """
    with connections.ledger(settings) as ledger:
        history = ReleaseHistory.read(ledger, settings.target)
        others = {each.id for each in ledger.releases(limit=None)} - {each.id for each in history.releases}
    found: list[Spare] = []
    for branch in branches:
        stays = branch.name in {production.name, settings.neon_staging_branch} or branch.protected or branch.default
        if stays or (roots and branch.parent_id is not None):
            continue
        why = _why_it_may_go(branch, history, others)
        if why:
            under = tuple(sorted(one.name for one in branches if one.parent_id == branch.id))
            found.append(Spare(branch, why, under))
    return tuple(found)


def _why_it_may_go(branch: Branch, history: ReleaseHistory, others: set[str]) -> str:
    """Why nothing of ours needs a branch; empty where something does, or it is somebody's own."""
    for prefix, what in (
        (
            KEPT,
            "what production was before {id} was taken back, and that is over: see to the rows of its receipt first",
        ),
        (SNAPSHOT, "what production was before {id}, and that is over"),
    ):
        if not branch.name.startswith(prefix):
            continue
        of = branch.name.removeprefix(prefix)
        release = next((each for each in history.releases if each.id == of), None)
        if release is None:
            return "" if of in others else "the ledger knows no release that it belongs to"
        tries = (release, *history.rollbacks(release))
        is_over = all(history.is_past_rollback(each) for each in tries)
        return f"it keeps {what.format(id=of)}" if is_over else ""
    return "no release made it" if branch.parent_id is None else ""
