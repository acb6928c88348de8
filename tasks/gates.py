"""Which release may be rolled back by hand, which may be kept, and whether the build that serves was found good."""

from dataclasses import dataclass
from typing import Literal

from deployments.ledger import Ledger, Release, ReleaseAlive, ReleaseEnded
from deployments.settings import Settings
from tasks import connections, production_state, protection, record, undone_rollbacks
from tasks.acts import Act
from tasks.errors import NotReady
from tasks.release_history import BACK, FORWARD, ReleaseHistory, ReleasesInEffect
from tasks.values import RestorePoint


@dataclass(frozen=True)
class RollbackTarget:
    """The release that a rollback by hand takes back.

    Attributes:
        release: the release.
        point: the restore point that it sealed.
        nothing_to_do: why there is nothing to do; empty where there is.
        brings_back: the release whose build serves again, where the release is a rollback itself.
    """

    release: Release
    point: RestorePoint
    nothing_to_do: str = ""
    brings_back: str | None = None


def rollback_target(release_id: str, way: Literal["application", "data"]) -> RollbackTarget:
    """What a rollback of a release by hand would take back.

    Raises:
        NotReady: it cannot be rolled back; the message says which one can, or what else to do.
        ReleaseNotFound: there is none of that id.
        ReleaseRunning: a release or rollback runs, or died and was not closed.
    """
    settings = connections.settings()
    release, history = _release_and_history(settings, release_id)
    release = _whose_build_it_validated(settings, release)
    in_effect = ReleasesInEffect.read(settings)
    if (undone := record.release_undone_by(release)) is not None:
        undone_rollbacks.refuse_unless_application_alone(history, release, undone, way)
    later = [each for each in history.later(release) if in_effect.has(history, each)]
    point, original = return_point(settings, release)
    if undone is not None and original is None:
        raise NotReady(
            f"{release.id} is a rollback of {undone}, and what served before it is not known: to bring {release.ref} "
            f"into production again, `pilotage release start {release.ref}`."
        )
    if point is None:
        raise NotReady(
            f"release {release.id} sealed no restore point: it changed nothing in production "
            f"({release.state}: {release.summary}). {_newest_in_effect(history, in_effect)}"
        )
    if point.serving_deployment_id is None:
        raise NotReady(
            f"release {release.id} is the first one: before it production served nothing, so there is no build to go "
            "back to. Mend what is wrong with it and release again."
        )
    if original is not None and in_effect.serving_deployment_id == point.serving_deployment_id:
        return RollbackTarget(release, point, f"production serves {point.serving_deployment_id} already", original.id)
    if later:
        raise NotReady(
            f"release {release.id} is not the newest that stands in production: {later[0].id} came after it, and would "
            f"be torn away. Roll that back first: `pilotage rollback {later[0].id}`."
        )
    if original is not None:
        return RollbackTarget(release, point, brings_back=original.id)
    nothing_to_do = (
        "" if _unfinished(settings, history, release) else _why_nothing_to_do(history, in_effect, release, way)
    )
    return RollbackTarget(release, point, nothing_to_do)


def return_point(settings: Settings, release: Release) -> tuple[RestorePoint | None, Release | None]:
    """Where a rollback of a release leads.

    Args:
        release: a release, or a rollback by hand that is to be taken back itself.

    Returns:
        The restore point; None where there is none. The release whose build serves again, where a rollback is taken
        back.
    """
    if record.release_undone_by(release) is None:
        return record.restore_point(release.id), None
    with connections.ledger(settings) as ledger:
        found = undone_rollbacks.read(ledger, release)
    return (None, None) if found is None else (found.point, found.original)


def _release_and_history(settings: Settings, release_id: str) -> tuple[Release, ReleaseHistory]:
    """A release that is asked about, and what the releases of its target did, once none of them runs."""
    with connections.ledger(settings) as ledger:
        release = ledger.release(release_id)
        ledger.refuse_running(release.target)
        return release, ReleaseHistory.read(ledger, release.target)


def _whose_build_it_validated(settings: Settings, release: Release) -> Release:
    """The release that is taken back: one that found an earlier one's build good has changed nothing of its own."""
    with connections.ledger(settings) as ledger:
        earlier = record.validated_release(ledger.steps(release.id))
        return release if earlier is None else ledger.release(earlier)


def _newest_in_effect(history: ReleaseHistory, in_effect: ReleasesInEffect) -> str:
    for each in history.releases:
        if in_effect.has(history, each):
            point = record.restore_point(each.id)
            if point is not None and point.serving_deployment_id is not None:
                return f"The newest release that stands in production is {each.id}: `pilotage rollback {each.id}`."
            break
    return "There is no release to roll back."


def _unfinished(settings: Settings, history: ReleaseHistory, release: Release) -> bool:
    """Whether a way back that is told as done has left something for the next try: see what the rollback warns of."""
    tries = (release, *history.rollbacks(release))
    restored = any(history.done(each, Act.RESTORE) for each in tries)
    unlisted = restored and not any(history.done(each, Act.RECEIPT) for each in tries)
    return (
        unlisted
        or protection.branch_to_protect_again(settings) is not None
        or bool(production_state.maintenance(settings))
    )


def _why_nothing_to_do(
    history: ReleaseHistory, in_effect: ReleasesInEffect, release: Release, way: Literal["application", "data"]
) -> str:
    """Why nothing is left to do; a rollback that broke off is always run again."""
    if in_effect.build_of(history, release) or in_effect.serving_deployment_id is None:
        return ""
    if not history.begun(release, *FORWARD):
        return f"{release.id} changed nothing in production"
    last = next(iter(history.rollbacks(release)), release)
    ended = next((each for each in (*history.rollbacks(release), release) if each.state == "rolled_back"), None)
    if ended is None or last.state != "rolled_back":
        return ""
    restored = any(history.done(each, Act.RESTORE) for each in (release, *history.rollbacks(release)))
    has_rows = not restored and (history.begun(release, Act.PROMOTE) or in_effect.schema_of(history, release))
    if way == "data" and has_rows:
        return ""
    more = f"; to restore the database too, `pilotage rollback {release.id} --way data`" if has_rows else ""
    return f"{ended.id} has taken {release.id} back already: {ended.summary}{more}"


@dataclass(frozen=True)
class ReleaseToRecover:
    """The release whose process died, if one did.

    Attributes:
        release: the ledger's row; None where there is nothing to recover.
        why: why there is nothing to recover.
    """

    release: Release | None
    why: str = ""


def release_to_recover(release_id: str | None, *, wait: bool) -> ReleaseToRecover:
    """The release or rollback that nobody runs any more.

    Args:
        release_id: its id; None for the one of the target that has not ended.
        wait: whether to wait until its lease has run out, where its process may live: it lives if it renews it.

    Raises:
        ReleaseAlive: the release of that id lives.
        ReleaseNotFound: there is none of that id.
    """
    given = connections.settings()
    with connections.ledger(given) as ledger:
        found = ledger.release(release_id) if release_id else ledger.running(given.target)
        if found is None:
            return ReleaseToRecover(None, f"no release of {given.target} runs")
        if found.state != "running":
            return ReleaseToRecover(None, f"release {found.id} has ended as {found.state}: {found.summary}")
        try:
            return ReleaseToRecover(ledger.wait_for_death(found.id) if wait else ledger.abandonable(found.id))
        except ReleaseAlive as alive:
            if release_id:
                raise
            return ReleaseToRecover(None, str(alive))
        except ReleaseEnded as ended:
            return ReleaseToRecover(None, str(ended))


def kept_since(release_id: str) -> tuple[str, ...]:
    """The branches that keep rows written since a release's point, and that later releases' restores have taken."""
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        return ReleaseHistory.read(ledger, settings.target).kept_since(ledger.release(release_id))


@dataclass(frozen=True)
class ServingBuild:
    """What is known of the build that serves.

    Attributes:
        is_validated: whether it was found good. One that a person kept was not: who releases it again has it watched.
        release_id: the release that promoted it; None where none of ours did.
        point: the restore point that this release had sealed.
        contracted: whether this release went on to contract.
    """

    is_validated: bool
    release_id: str | None = None
    point: RestorePoint | None = None
    contracted: bool = False


def serving_build(deployment_id: str | None) -> ServingBuild:
    """What is known of the build that serves.

    Args:
        deployment_id: its deployment.
    """
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        history = ReleaseHistory.read(ledger, settings.target)
    is_validated = deployment_id is not None and history.was_watched(deployment_id)
    by = next((each for each in history.releases if history.promoted(each) == deployment_id), None)
    if deployment_id is None or by is None:
        return ServingBuild(is_validated)
    return ServingBuild(is_validated, by.id, record.restore_point(by.id), history.begun(by, Act.CONTRACT_PRODUCTION))


def release_to_keep(release_id: str) -> Release:
    """A release whose outcome is open, and that is the last to have changed production.

    Raises:
        NotReady: there is nothing to decide about it; the message says why, and what else to do.
        ReleaseNotFound: there is none of that id.
        ReleaseRunning: a release or rollback runs, or died and was not closed.
    """
    release, history = _release_and_history(connections.settings(), release_id)
    if release.state not in {"undecided", "abandoned"}:
        raise NotReady(f"release {release_id} ended as {release.state} ({release.summary}): nothing is left to decide.")
    if history.kept(release):
        raise NotReady(f"release {release_id} was kept already ({release.summary}): nothing is left to decide.")
    if not history.begun(release, *FORWARD, *BACK):
        raise NotReady(f"release {release_id} changed nothing in production: there is nothing of it to keep.")
    newer = next((each for each in history.later(release) if history.begun(each, *FORWARD, *BACK)), None)
    if newer is not None:
        again = newer.state in {"undecided", "abandoned"} and not history.kept(newer)
        advice = f"keep that one: `pilotage release keep {newer.id}`" if again else "what it left is what stands"
        raise NotReady(
            f"release {release_id} is not the last that changed production: {newer.id} did so after it; {advice}."
        )
    return release


def leads_on_from(release: Release, ledger: Ledger) -> str:
    """What leads on from a release, or a rollback, that was given up: as the ledger has it, production is not asked."""
    undone = record.release_undone_by(release)
    history = ReleaseHistory.read(ledger, release.target)
    taken_back = undone or release.id
    tries = [each for each in history.releases if taken_back in {each.id, record.release_undone_by(each)}]
    way = "data" if any(history.begun(each, Act.RESTORE) for each in tries) else "application"
    if undone is not None:
        again = (
            f"`pilotage rollback {undone} --way {way}`"
            if way == "data" or history.begun(release, *BACK)
            else f"`pilotage rollback {undone}`, with the `--way` that it was to go,"
        )
        return f"{again} goes on: what was done is found, and not done again."
    again = f"`pilotage release start {release.ref}` releases it again"
    if not history.begun(release, *FORWARD, *BACK):
        return f"production was not touched: {again}, with `--reset-staging` where staging is half-way."
    point = record.point_of(ledger, release.id)
    if point is None or point.serving_deployment_id is None:
        return f"{again}; `pilotage release keep {release.id}` keeps what stands."
    back = f"`pilotage rollback {release.id} --way {way}` goes back"
    return f"{again}; `pilotage release keep {release.id}` keeps what stands; {back}."
