"""The protection of production's branch: lifted for a restore, and given back exactly as it was found."""

import logging
from dataclasses import dataclass

import stamina

from deployments.errors import DeploymentError, ServiceRefused
from deployments.ledger import Release
from deployments.neon.client import Branch, NeonClient
from deployments.settings import Settings
from migrations.disclosure.sentences import sentence
from tasks import connections
from tasks.acts import Act
from tasks.record import note, recorded_step, release_undone_by
from tasks.step import step

log = logging.getLogger(__name__)

NO_SLOT = "BRANCHES_PROTECTED_LIMIT_EXCEEDED"
TRIES = 3
# A branch that was left unprotected is found in one of the newest rows, or nobody has missed its protection since.
ROWS = 50
_WORD = "protection_lifted"
_ACTS = (Act.LIFT_PROTECTION, Act.RESTORE_PROTECTION)


def lift_protection(release_id: str, client: NeonClient, branch: Branch) -> None:
    """Lift the protection of a branch, where it has one; that it had is in the ledger before it is lifted."""
    if branch.protected:
        with recorded_step(release_id, Act.LIFT_PROTECTION, branch_id=branch.id, **{_WORD: True}):
            client.set_protected(branch.id, protected=False)


@step("give back protection", timeout_s=900, retries=0)
def restore_protection(release_id: str) -> str:
    """Protect production's branch again, where a restore found it protected: this one, or one that was cut off.

    Returns:
        What a person has to do, where it could not be protected; empty where all is as it was found.
    """
    settings = connections.settings()
    found = lifted(settings)
    if found is None:
        return ""
    branch_id = found.branch_id
    client = connections.neon(settings)
    try:
        with recorded_step(release_id, Act.RESTORE_PROTECTION, branch_id=branch_id) as entry:
            for attempt in stamina.retry_context(on=_is_retriable, attempts=TRIES, timeout=None, wait_initial=0.5):
                with attempt:
                    client.set_protected(branch_id, protected=True)
            entry.result({_WORD: False})
    except DeploymentError as error:
        log.warning("production's branch could not be protected again: %s", error)
        first = "where the plan has no slot left, unprotect another branch first; then " if _no_slot(error) else ""
        undone = release_undone_by(found.release) or found.release.id
        return (
            f"production's branch {settings.neon_production_branch} ({branch_id}) was protected before the restore and "
            f"is not now: {sentence(str(error))} {first}`pilotage rollback {undone} --way data` protects it again, "
            "and restores nothing again"
        )
    return ""


def _is_retriable(error: Exception) -> bool:
    return isinstance(error, DeploymentError) and not _no_slot(error)


def _no_slot(error: Exception) -> bool:
    return isinstance(error, ServiceRefused) and error.code == NO_SLOT


def branch_to_protect_again(settings: Settings) -> str | None:
    """The branch whose protection was lifted and not given back, by the last word of the newest row that has one."""
    found = lifted(settings)
    return found.branch_id if found else None


@dataclass(frozen=True)
class Lifted:
    """A protection that was lifted.

    Attributes:
        branch_id: the branch.
        release: the row of the ledger under which that was done.
    """

    branch_id: str
    release: Release


def lifted(settings: Settings) -> Lifted | None:
    """The protection that was lifted and not given back; None where there is none."""
    found = _last_word(settings)
    return found[0] if found is not None and found[1] is True else None


def given_back(settings: Settings) -> Lifted | None:
    """The protection that was lifted last, where it was given back; None where none ever was, or it was not."""
    found = _last_word(settings)
    return found[0] if found is not None and found[1] is False else None


def _last_word(settings: Settings) -> tuple[Lifted, bool] | None:
    """The protection that the newest row tells of, and whether it is lifted by its last word."""
    with connections.ledger(settings) as ledger:
        for release in ledger.releases(target=settings.target, limit=ROWS):
            steps = ledger.steps(release.id)
            branch_id = next((str(one.details["branch_id"]) for one in steps if one.step in _ACTS), "")
            for entry in reversed(steps):
                if entry.step == Act.RESTORE_PROTECTION and entry.event in {"done", "noted"}:
                    return Lifted(branch_id, release), False
                if entry.details.get(_WORD) is True:
                    return Lifted(str(entry.details.get("branch_id")), release), True
    return None


def note_given_back(found: Lifted) -> None:
    """Write down that somebody else gave a protection back."""
    note(found.release.id, Act.RESTORE_PROTECTION, branch_id=found.branch_id, **{_WORD: False})
