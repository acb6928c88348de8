"""What releases that are over have left behind: maintenance mode, a lifted protection, branches that nobody owns."""

import logging
from collections.abc import Collection, Mapping
from typing import Final

from deployments.ledger import Ledger, Release
from deployments.neon.client import Branch
from deployments.settings import Settings
from tasks import connections, gates, production_state, protection, record
from tasks.acts import Act
from tasks.errors import CannotTell
from tasks.protection import Lifted
from tasks.step import step
from tasks.steps.rehearsal import branch_name
from tasks.steps.snapshot import snapshots_that_stay
from tasks.steps.staging import BEFORE
from tasks.values import Finding

log = logging.getLogger(__name__)

MAINTENANCE: Final = "maintenance "
PROTECTION: Final = "protection "
UNPROTECTED: Final = "unprotected "
BRANCH: Final = "branch "
_REHEARSAL: Final = branch_name("")


@step("look for maintenance mode", timeout_s=120)
def find_maintenance() -> Finding | None:
    """Maintenance mode that is on though no release is open: it is told, and a person switches it off.

    Where a rollback switched it on and could not be walked to its end, the rows are not known to be right.

    Raises:
        CannotTell: the application does not say whether it is on.
    """
    settings = connections.settings()
    last = _last_release(settings)
    if last is None:
        return None
    on = production_state.maintenance(settings)
    if on is None and production_state.serving_deployment_id(settings) != "":
        raise CannotTell(f"{connections.production_url(settings)} does not say whether maintenance mode is on")
    with connections.ledger(settings) as ledger:
        if not on:
            ledger.forget_facts(settings.target, MAINTENANCE)
            return None
        if _last_release(settings) != last:
            # A release began or ended meanwhile: what was seen is its own.
            return None
        return _maintenance_finding(ledger, settings, _switched_on_by(ledger, settings.target))


def _last_release(settings: Settings) -> Release | None:
    """The newest release, where none is open."""
    with connections.ledger(settings) as ledger:
        newest = next(iter(ledger.releases(target=settings.target, limit=1)), None)
    return newest if newest is not None and newest.state != "running" else None


def _switched_on_by(ledger: Ledger, target: str) -> Release | None:
    """The release of ours that switched it on and not off again; None where the last word is off, or there is none."""
    found = ledger.acts(target, Act.MAINTENANCE_ON, Act.MAINTENANCE_OFF)
    words = sorted((one for steps in found.values() for one in steps if one.event != "failed"), key=lambda one: one.at)
    if not words or words[-1].step != Act.MAINTENANCE_ON:
        return None
    return ledger.release(words[-1].release_id)


def _maintenance_finding(ledger: Ledger, settings: Settings, by: Release | None) -> Finding:
    headline = "Production refuses writes: maintenance mode is on, and no release is open"
    by_hand = (
        f"the item `maintenance` of the Edge Config {settings.vercel_config_id} in Vercel, set to false, lets writes in"
    )
    if by is None:
        return Finding(
            f"{MAINTENANCE}by hand",
            headline,
            {"Switched on by": "no release of ours, as the ledger has it"},
            next_step=f"whoever switched it on knows why; {by_hand}.",
        )
    return Finding(
        f"{MAINTENANCE}{by.id}",
        headline,
        {"Switched on by": by.id, "How that ended": f"{by.state}: {by.summary}"},
        text="It stays on until somebody decides: the rows are not known to be right.",
        next_step=f"{gates.leads_on_from(by, ledger)} Where the rows are known to be right, {by_hand}.",
        release_id=by.id,
    )


@step("look for lifted protection", timeout_s=120)
def find_lifted_protection() -> Lifted | None:
    """The protection of production's branch that a release lifted and nobody gave back, while no release is open.

    One that could not be given back before, and was told, is left to whoever was told.
    """
    settings = connections.settings()
    found = protection.lifted(settings)
    with connections.ledger(settings) as ledger:
        if found is None:
            ledger.forget_facts(settings.target, PROTECTION)
            return None
        if _last_release(settings) is None or ledger.was_told(settings.target, f"{PROTECTION}{found.branch_id}"):
            return None
    if connections.neon(settings).branch_by_id(found.branch_id).protected:
        protection.note_given_back(found)
        return None
    return found


@step("look for a branch unprotected since", timeout_s=120)
def find_unprotected() -> Finding | None:
    """Production's branch without the protection that a release gave back: somebody else has lifted it since.

    It may be meant, so that nobody gives it back by himself.
    """
    settings = connections.settings()
    given_back = protection.given_back(settings)
    if given_back is None or _last_release(settings) is None:
        return None
    fact = f"{UNPROTECTED}{given_back.branch_id}"
    branch = connections.neon(settings).branch_by_id(given_back.branch_id)
    with connections.ledger(settings) as ledger:
        if branch.protected:
            ledger.forget_facts(settings.target, UNPROTECTED)
            return None
        if protection.given_back(settings) != given_back or _last_release(settings) is None:
            # A release began meanwhile, and lifts it for a restore.
            return None
    return Finding(
        fact,
        "Production's branch is unprotected",
        {"Branch": branch.name, "Protected again last by": given_back.release.id},
        text="It was protected again at the end of that release, and is not now: somebody has lifted it since, or a "
        "run that had lost its release and woke up late.",
        next_step="protect it again in Neon's console, unless it is meant.",
        release_id=given_back.release.id,
    )


def protection_finding(found: Lifted, row_id: str, trouble: str) -> Finding:
    """What is told of a protection that was given back, or that could not be.

    Args:
        found: what was lifted.
        row_id: the ledger's row under which it was given back.
        trouble: what a person has to do; empty where it was given back.
    """
    facts = {"Lifted by": found.release.id, "Branch": found.branch_id, "Ledger": row_id}
    if not trouble:
        return Finding("", "Production's branch is protected again", facts, release_id=row_id)
    return Finding(
        f"{PROTECTION}{found.branch_id}",
        "Production's branch is unprotected",
        facts,
        text=trouble,
        next_step=f"protect it by hand: the watchdog does not try again. `pilotage ledger {found.release.id}` shows "
        "what lifted it.",
        release_id=row_id,
    )


@step("look for branches of nobody", timeout_s=600)
def tidy_branches() -> tuple[Finding, ...]:
    """Delete the branches that releases which are over have rehearsed on, and find those that nobody will delete."""
    settings = connections.settings()
    branches = connections.neon(settings).branches()
    with connections.ledger(settings) as ledger:
        ours = {each.id: each for each in ledger.releases(target=settings.target, limit=None)}
        known = {each.id for each in ledger.releases(limit=None)}
    for branch in branches:
        release = ours.get(branch.name.removeprefix(_REHEARSAL)) if branch.name.startswith(_REHEARSAL) else None
        if release is not None and release.state != "running":
            _delete(settings, release, branch, Act.DELETE_REHEARSAL_BRANCH)
        if (release := _needs_kept_staging_no_more(branch, branches, ours)) is not None:
            _delete(settings, release, branch, Act.DELETE_KEPT_STAGING)
    lost = [*_lost_rehearsals(branches, known), *snapshots_that_stay(settings, branches, known=known)]
    return tuple(_branch_finding(branch) for branch in lost)


def _needs_kept_staging_no_more(
    branch: Branch, every: Collection[Branch], ours: Mapping[str, Release]
) -> Release | None:
    """The release that kept what staging was for branches that hung under it, once it is over and none does."""
    if not branch.name.startswith(BEFORE) or any(one.parent_id == branch.id for one in every):
        return None
    release = ours.get(branch.name.removeprefix(BEFORE).removeprefix("rollback-"))
    return release if release is not None and release.state != "running" else None


def _delete(settings: Settings, release: Release, branch: Branch, act: Act) -> None:
    """Delete a branch of a release that is over: an act of its row, though nobody has to hold that any more."""
    record.note(release.id, act.value, branch_name=branch.name, by="watchdog")
    connections.neon(settings, in_release=False).delete_branch(branch.id)
    with connections.ledger(settings) as ledger:
        ledger.finish_step(release.id, act.value, {"branch_deleted": branch.name})


def _lost_rehearsals(branches: Collection[Branch], known: Collection[str]) -> list[Branch]:
    """Rehearsal branches of no release, such as those of the flow `rehearse`, that do not expire by themselves."""
    return [
        one
        for one in branches
        if one.name.startswith(_REHEARSAL) and one.expires_at is None and one.name.removeprefix(_REHEARSAL) not in known
    ]


def _branch_finding(branch: Branch) -> Finding:
    return Finding(
        f"{BRANCH}{branch.id}",
        f"The branch {branch.name} belongs to nobody",
        {"Branch": branch.name, "Made": f"{branch.created_at:%Y-%m-%d %H:%M} UTC"},
        text="No release needs it, and it does not expire: it takes room of Neon's plan for good.",
        next_step=f"`pilotage branch delete {branch.name}`.",
    )
