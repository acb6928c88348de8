"""A rollback that is itself rolled back: the build that it took out of service serves again."""

from dataclasses import dataclass, replace

from deployments.ledger import Ledger, Release, Step
from tasks import record
from tasks.acts import Act
from tasks.errors import NotReady
from tasks.release_history import ReleaseHistory
from tasks.values import RestorePoint


@dataclass(frozen=True)
class UndoneRollback:
    """What a rollback by hand can be taken back to.

    Attributes:
        original: the release whose build served before, behind however many rollbacks of rollbacks.
        point: its restore point, with the build that served before the rollback in place of its own.
    """

    original: Release
    point: RestorePoint


def read(ledger: Ledger, rollback: Release) -> UndoneRollback | None:
    """What a rollback by hand can be taken back to; None where it moved no build, or its release has no restore point.

    Args:
        ledger: open.
        rollback: the ledger's row of a rollback by hand.
    """
    before = _served_before(ledger.steps(rollback.id))
    original = rollback
    while (undone := record.release_undone_by(original)) is not None:
        original = ledger.release(undone)
    point = record.point_of(ledger, original.id)
    if before is None or point is None:
        return None
    return UndoneRollback(original, replace(point, serving_deployment_id=before))


def refuse_unless_application_alone(history: ReleaseHistory, rollback: Release, undone: str, way: str) -> None:
    """Refuse to take a rollback back that came to no good end, or that changed the database.

    Args:
        history: of its target.
        rollback: the ledger's row of a rollback by hand.
        undone: the release that it took back.
        way: how it is to be taken back.

    Raises:
        NotReady: it is not taken back; the message says what leads on.
    """
    if rollback.state != "rolled_back":
        raise NotReady(
            f"{rollback.id} is a rollback of {undone} that came to no good end ({rollback.state}): run it again with "
            f"`pilotage rollback {undone}`, by the way that it was to go."
        )
    again = f"to bring {rollback.ref} into production again, `pilotage release start {rollback.ref}`"
    since = (rollback, *history.later(rollback))
    if any(history.begun(each, Act.RESTORE, Act.TAKE_BACK_REVISIONS) for each in since):
        raise NotReady(f"{rollback.id} is a rollback of {undone}, and the database has gone back as well: {again}.")
    if not history.begun(rollback, Act.ROLL_BACK_APPLICATION):
        raise NotReady(f"{rollback.id} is a rollback of {undone} that had nothing to move: {again}.")
    if way == "data":
        raise NotReady(
            f"{rollback.id} is a rollback of {undone} that left the database as it was: `pilotage rollback "
            f"{rollback.id}` lets the build serve again that it took out; `pilotage rollback {undone} --way data` "
            "restores the database."
        )


def _served_before(steps: tuple[Step, ...]) -> str | None:
    for one in steps:
        if one.step == Act.ROLL_BACK_APPLICATION and one.event == "begun" and one.details.get("instead_of"):
            return str(one.details["instead_of"])
    return None
