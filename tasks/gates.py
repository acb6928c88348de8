"""What may be rolled back by hand, what may be kept, and whether what serves was found good."""

from dataclasses import dataclass
from typing import Literal

from deployments.ledger import Release
from deployments.settings import Settings
from tasks import connections, present, protection, record
from tasks.errors import NotReady
from tasks.past import BACK, FORWARD, RECEIPT, Past, Standing
from tasks.values import RestorePoint


@dataclass(frozen=True)
class Undo:
    """What a rollback by hand takes back.

    Attributes:
        release: the release.
        point: the restore point that it sealed.
        nothing: why there is nothing to do; empty where there is.
    """

    release: Release
    point: RestorePoint
    nothing: str = ""


def to_undo(release_id: str, way: Literal["application", "data"]) -> Undo:
    """What a rollback of a release by hand would take back.

    Raises:
        NotReady: it cannot be rolled back; the message says which one can, or what else to do.
        ReleaseNotFound: there is none of that id.
        ReleaseRunning: a release or rollback runs, or died and was not closed.
    """
    given = connections.settings()
    wanted, past = _ended(given, release_id)
    stands = Standing.read(given)
    if (undone := record.undone_by(wanted)) is not None:
        raise NotReady(_of_a_rollback(wanted, undone))
    later = [each for each in past.later(wanted) if stands.has(past, each)]
    point = record.restore_point(release_id)
    if point is None:
        raise NotReady(
            f"release {release_id} sealed no restore point: it changed nothing in production "
            f"({wanted.state}: {wanted.summary}). {_newest(past, stands)}"
        )
    if point.serving_deployment_id is None:
        raise NotReady(
            f"release {release_id} is the first one: before it production served nothing, so there is no build to go "
            "back to. Mend what is wrong with it and release again."
        )
    if later:
        raise NotReady(
            f"release {release_id} is not the newest that stands in production: {later[0].id} came after it, and would "
            f"be torn away. Roll that back first: `pilotage rollback {later[0].id}`."
        )
    nothing = "" if _unfinished(given, past, wanted) else _nothing(past, stands, wanted, way)
    return Undo(wanted, point, nothing)


def _ended(given: Settings, release_id: str) -> tuple[Release, Past]:
    """A release that is asked about, and what the releases of its target did, once none of them runs."""
    with connections.ledger(given) as ledger:
        wanted = ledger.release(release_id)
        ledger.refuse_running(wanted.target)
        return wanted, Past.read(ledger, wanted.target)


def _of_a_rollback(wanted: Release, undone: str) -> str:
    if wanted.state == "rolled_back":
        return (
            f"{wanted.id} is a rollback of {undone}, and a rollback is not rolled back: to bring {wanted.ref} into "
            f"production again, `pilotage release start {wanted.ref}`."
        )
    return (
        f"{wanted.id} is a rollback of {undone} that came to no good end ({wanted.state}): run it again with "
        f"`pilotage rollback {undone}`, by the way that it was to go."
    )


def _newest(past: Past, stands: Standing) -> str:
    for each in past.releases:
        if stands.has(past, each):
            point = record.restore_point(each.id)
            if point is not None and point.serving_deployment_id is not None:
                return f"The newest release that stands in production is {each.id}: `pilotage rollback {each.id}`."
            break
    return "There is no release to roll back."


def _unfinished(given: Settings, past: Past, wanted: Release) -> bool:
    """Whether a way back that is told as done has left something for the next try: see what the rollback warns of."""
    tries = (wanted, *past.rollbacks(wanted))
    restored = any(past.done(each, "restore production") for each in tries)
    unlisted = restored and not any(past.done(each, RECEIPT) for each in tries)
    return unlisted or protection.owed(given) is not None or bool(present.maintenance(given))


def _nothing(past: Past, stands: Standing, wanted: Release, way: Literal["application", "data"]) -> str:
    """Why nothing is left to do; a rollback that broke off is always run again."""
    if stands.build_of(past, wanted) or stands.serving is None:
        return ""
    if not past.begun(wanted, *FORWARD):
        return f"{wanted.id} changed nothing in production"
    last = next(iter(past.rollbacks(wanted)), wanted)
    ended = next((each for each in (*past.rollbacks(wanted), wanted) if each.state == "rolled_back"), None)
    if ended is None or last.state != "rolled_back":
        return ""
    restored = any(past.done(each, "restore production") for each in (wanted, *past.rollbacks(wanted)))
    has_rows = not restored and (past.begun(wanted, "promote") or stands.schema_of(past, wanted))
    if way == "data" and has_rows:
        return ""
    more = f"; to restore the database too, `pilotage rollback {wanted.id} --way data`" if has_rows else ""
    return f"{ended.id} has taken {wanted.id} back already: {ended.summary}{more}"


def kept_since(release_id: str) -> tuple[str, ...]:
    """The branches that keep rows written since a release's point, and that later releases' restores have taken."""
    given = connections.settings()
    with connections.ledger(given) as ledger:
        return Past.read(ledger, given.target).kept_since(ledger.release(release_id))


@dataclass(frozen=True)
class Served:
    """What is known of the build that serves.

    Attributes:
        good: whether it was found good, or a person decided to keep it.
        release_id: the release that promoted it; None where none of ours did.
        point: the restore point that this release had sealed.
        contracted: whether this release went on to contract.
    """

    good: bool
    release_id: str | None = None
    point: RestorePoint | None = None
    contracted: bool = False


def served(deployment_id: str | None) -> Served:
    """What is known of the build that serves.

    Args:
        deployment_id: its deployment.
    """
    given = connections.settings()
    with connections.ledger(given) as ledger:
        past = Past.read(ledger, given.target)
    good = deployment_id is not None and past.found_good(deployment_id)
    by = next((each for each in past.releases if past.promoted(each) == deployment_id), None)
    if deployment_id is None or by is None:
        return Served(good)
    return Served(good, by.id, record.restore_point(by.id), past.begun(by, "contract production"))


def to_keep(release_id: str) -> Release:
    """A release whose outcome is open, and that is the last to have changed production.

    Raises:
        NotReady: there is nothing to decide about it; the message says why, and what else to do.
        ReleaseNotFound: there is none of that id.
        ReleaseRunning: a release or rollback runs, or died and was not closed.
    """
    wanted, past = _ended(connections.settings(), release_id)
    if wanted.state not in {"undecided", "abandoned"}:
        raise NotReady(f"release {release_id} ended as {wanted.state} ({wanted.summary}): nothing is left to decide.")
    if past.kept(wanted):
        raise NotReady(f"release {release_id} was kept already ({wanted.summary}): nothing is left to decide.")
    if not past.begun(wanted, *FORWARD, *BACK):
        raise NotReady(f"release {release_id} changed nothing in production: there is nothing of it to keep.")
    newer = next((each for each in past.later(wanted) if past.begun(each, *FORWARD, *BACK)), None)
    if newer is not None:
        again = newer.state in {"undecided", "abandoned"} and not past.kept(newer)
        advice = f"keep that one: `pilotage release keep {newer.id}`" if again else "what it left is what stands"
        raise NotReady(
            f"release {release_id} is not the last that changed production: {newer.id} did so after it; {advice}."
        )
    return wanted
