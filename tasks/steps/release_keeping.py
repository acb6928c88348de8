"""Keeping: a person decides that what a release left in production stays, and the next one starts from there."""

from dataclasses import dataclass

from deployments.ledger import Release, ReleaseLeftovers
from migrations.catalog.contents import Catalog, Difference, difference
from migrations.database.session import reader
from tasks import catalogue, connections, gates, record
from tasks.release_history import KEPT
from tasks.steps.status import resolve_ref


@dataclass(frozen=True)
class StateToKeep:
    """What a release left in production.

    Attributes:
        release: the release whose outcome is open.
        live: what stands in the database.
        serving: the deployment that serves; None before the first.
        by_hand: what no revision made; None where that cannot be told.
        why: why it cannot be told.
        left: what the ledger tells of it.
    """

    release: Release
    live: catalogue.LiveSchema
    serving: str | None
    by_hand: tuple[Difference, ...] | None
    why: str
    left: ReleaseLeftovers


def read_state_to_keep(release_id: str) -> StateToKeep:
    """What would be kept of a release.

    Raises:
        NotReady: there is nothing to decide about it.
        ReleaseNotFound: there is none of that id.
        ReleaseRunning: a release or rollback runs, or died and was not closed.
    """
    release = gates.release_to_keep(release_id)
    settings = connections.settings()
    history = connections.history(settings, resolve_ref.fn(release.commit_sha))
    with reader(connections.owner_dsn(settings, connections.production_branch(settings))) as connection:
        live = catalogue.LiveSchema.read(connection, history)
    expected = catalogue.expected_for(settings, "production", history, live)
    serving = connections.vercel(settings).production_deployment()
    with connections.ledger(settings) as ledger:
        left = ledger.leftovers(release_id)
    by_hand = None if expected.catalog is None else _difference(expected.catalog, live.catalog, grants=expected.grants)
    return StateToKeep(release, live, serving.id if serving else None, by_hand, expected.why, left)


def keep_state(found: StateToKeep, *, reason: str, by: str) -> Release:
    """Write down what stands and who decided to keep it; neither database nor application is changed.

    Args:
        found: what was looked at, and is kept so.
        reason: why, for whoever reads it later.
        by: who decided.

    Raises:
        NotReady: a release began meanwhile, or somebody decided before.
    """
    release_id = gates.release_to_keep(found.release.id).id
    catalogue.record_live_production(release_id, found.live)
    record.note(
        release_id,
        KEPT,
        by=by,
        reason=reason,
        revisions=[*found.live.revisions],
        deployment=found.serving,
        by_hand=[f"{one.kind} {one.name} {one.change}" for one in found.by_hand or ()],
    )
    with connections.ledger(connections.settings()) as ledger:
        return ledger.keep(release_id, reason=reason, by=by)


def _difference(expected: Catalog, live: Catalog, *, grants: bool) -> tuple[Difference, ...]:
    left_out = () if grants else ("grant",)
    return difference(expected.without(*left_out), live.without(*left_out))
