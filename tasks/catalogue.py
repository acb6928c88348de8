"""The catalogue that drift is measured against: what was recorded last, and what revisions have made of it since.

It is never what merely stands: a change by hand in the middle of a release is no part of it.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import psycopg

from deployments.git.repository import Commit
from deployments.ledger import RecordedCatalog
from deployments.settings import Settings
from migrations.catalog.contents import Catalog, Difference, difference, read_catalog
from migrations.catalog.default_privileges import DefaultPrivilege, read_default_privileges
from migrations.database.session import reader
from migrations.drift import takeover
from migrations.drift.expected_changes import ExpectedChange, expected_change
from migrations.errors import MigrationError
from migrations.history.revisions import History, current_revisions
from migrations.recording.throwaway import expected_catalog
from tasks import connections
from tasks.record import note
from tasks.step import step
from tasks.values import RestorePoint

NO_REVISION = "no revision"


@dataclass(frozen=True)
class LiveSchema:
    """What stands in an environment.

    Attributes:
        revisions: the revisions that stand.
        catalog: everything that its catalogue says.
        default_privileges: what it grants by itself on new objects.
    """

    revisions: tuple[str, ...]
    catalog: Catalog
    default_privileges: tuple[DefaultPrivilege, ...]

    @classmethod
    def read(cls, connection: psycopg.Connection, history: History) -> "LiveSchema":
        """Read it in the snapshot of a session."""
        return cls(
            current_revisions(connection, history.version_table),
            read_catalog(connection),
            read_default_privileges(connection),
        )


@dataclass(frozen=True)
class ExpectedCatalog:
    """What an environment's catalogue must be.

    Attributes:
        catalog: the catalogue; None where it cannot be told.
        grants: whether grants can be told too.
        why: why it cannot be told.
        advice: what to do then.
    """

    catalog: Catalog | None
    grants: bool = True
    why: str = ""
    advice: str = ""


def expected_for(settings: Settings, environment: str, history: History, live: LiveSchema) -> ExpectedCatalog:
    """What an environment must be: the catalogue recorded last, and what the revisions since have made of it.

    Args:
        environment: `production` or `staging`.
        history: of the commit whose revisions stand there.
        live: what stands there; its revisions count, and what it grants by itself.
    """
    with connections.ledger(settings) as ledger:
        kept = ledger.recorded_catalog(settings.target, environment)
        same = ledger.recorded_catalog(settings.target, environment, revision=_text(live.revisions))
    unknown = [revision for revision in live.revisions if revision not in history]
    if kept is None:
        if unknown:
            return ExpectedCatalog(None)
        # Built beside staging, never beside production. The revisions promise no grants: roles got them otherwise.
        staging = connections.owner_dsn(settings, connections.staging_branch(settings))
        return ExpectedCatalog(expected_catalog(staging, history, live.revisions).without("grant"), grants=False)
    recorded = Catalog.from_json(kept.catalog_json)
    if _revisions(kept) == set(live.revisions):
        return ExpectedCatalog(recorded)
    why = f"it was recorded at {kept.revision}, {_text(live.revisions)} stands now, and "
    try:
        change = change_between(
            settings, history, tuple(sorted(_revisions(kept))), live.revisions, live.default_privileges
        )
    except MigrationError as error:
        if error.transient:
            raise
        return ExpectedCatalog(None, why=f"{why}what lies between cannot be built: {error}", advice=_KEEP)
    if change is not None:
        return ExpectedCatalog(recorded.with_changes(change.differences), grants=change.grants)
    if same is not None:
        return ExpectedCatalog(Catalog.from_json(same.catalog_json))
    if unknown:
        return ExpectedCatalog(None, why=f"{why}this commit does not know it", advice="release a commit that has it")
    return ExpectedCatalog(None, why=f"{why}this commit knows no way from the one to the other", advice=_KEEP)


_KEEP = "look at what stands there; if it shall stay, `pilotage release keep` the newest release"


@contextmanager
def recording_catalog(
    settings: Settings, release_id: str, environment: str, dsn: str, history: History
) -> Generator[None]:
    """Keep what stands once the block has applied its revisions.

    Args:
        release_id: the release whose act it is.
        environment: `production` or `staging`.
        dsn: direct connection string of its owner.
        history: the revisions that the block applies.
    """
    with reader(dsn) as connection:
        before = LiveSchema.read(connection, history)
    yield
    record_catalog(settings, release_id, environment, dsn, history, before=before)


def record_catalog(
    settings: Settings,
    release_id: str,
    environment: str,
    dsn: str,
    history: History,
    *,
    before: LiveSchema | None = None,
) -> None:
    """Keep what an environment must be from now on, at the revisions that stand there.

    Args:
        before: what stood before revisions were applied just now: what they granted is read from the difference, since
            an environment's roles are its own.
    """
    with reader(dsn) as connection:
        live = LiveSchema.read(connection, history)
    found = expected_for(settings, environment, history, live)
    if found.catalog is None:
        note(release_id, f"catalogue of {environment}", revision=_text(live.revisions), cannot_tell=found.why)
        return
    grants = _grants_to_record(settings, environment, found, live, before)
    catalog = Catalog.of((*found.catalog.without("grant").objects, *grants.objects))
    _record(settings, release_id, environment, live.revisions, catalog)


def _grants_to_record(
    settings: Settings, environment: str, found: ExpectedCatalog, live: LiveSchema, before: LiveSchema | None
) -> Catalog:
    """The grants: those recorded last and what revisions changed of them just now, else those that are known.

    What revisions took over was there before them, and is known by what they promise.
    """
    known = found.catalog if found.grants and found.catalog is not None else live.catalog
    with connections.ledger(settings) as ledger:
        kept = ledger.recorded_catalog(settings.target, environment)
    if before is None or before.revisions == live.revisions:
        return _grants(known)
    if kept is None or _revisions(kept) != set(before.revisions):
        return _grants(known)
    recorded, stood = _grants(Catalog.from_json(kept.catalog_json)), _grants(before.catalog)
    promised = difference(recorded, _grants(known)) if found.grants else ()
    taken_over = takeover.changes_taken_over(difference(recorded, stood), promised)
    return recorded.with_changes((*taken_over, *difference(stood, _grants(live.catalog))))


def _grants(catalog: Catalog) -> Catalog:
    return Catalog(catalog.of_kind("grant"))


@step("keep catalogue", timeout_s=600)
def record_production_catalog(release_id: str, commit: Commit) -> None:
    """Keep what production must be from now on.

    Args:
        release_id: the release that left it so.
        commit: its commit.
    """
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    record_catalog(settings, release_id, "production", dsn, connections.history(settings, commit))


@step("keep catalogue", timeout_s=600)
def record_restored_catalog(release_id: str, undone_id: str, point: RestorePoint) -> None:
    """Keep what was recorded of production before a release that has been taken back to its restore point.

    Args:
        release_id: the ledger's row of the rollback.
        undone_id: the release that was taken back.
        point: the restore point that it had sealed.
    """
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        kept = ledger.catalog_before(settings.target, "production", undone_id)
    there = kept is not None and _revisions(kept) == set(point.revisions)
    catalog = Catalog.from_json(kept.catalog_json if kept is not None and there else point.catalog_json)
    _record(settings, release_id, "production", point.revisions, catalog)


def record_live_production(release_id: str, live: LiveSchema) -> None:
    """Keep production as it stands, since a person decided so.

    Args:
        release_id: the release that left it so.
        live: what stands there.
    """
    _record(connections.settings(), release_id, "production", live.revisions, live.catalog)


def _record(settings: Settings, release_id: str, environment: str, revisions: Sequence[str], catalog: Catalog) -> None:
    with connections.ledger(settings) as ledger:
        ledger.record_catalog(
            settings.target,
            environment,
            release_id=release_id,
            revision=_text(revisions),
            digest=catalog.digest,
            catalog_json=catalog.to_json(),
        )
    note(release_id, f"catalogue of {environment}", digest=catalog.digest, revision=_text(revisions))


def changes_taken_over(
    settings: Settings, history: History, must: Catalog, live: LiveSchema, target: str
) -> tuple[Difference, ...]:
    """What was changed by hand just as the pending revisions promise it.

    Args:
        must: what the catalogue must be.
        live: what stands.
        target: the revision that is released.
    """
    found = difference(must, live.catalog)
    if not found:
        return ()
    coming = change_between(settings, history, live.revisions, (target,), live.default_privileges)
    return takeover.changes_taken_over(found, coming.differences) if coming is not None else ()


def change_between(
    settings: Settings,
    history: History,
    before: tuple[str, ...],
    after: tuple[str, ...],
    default_privileges: tuple[DefaultPrivilege, ...],
) -> ExpectedChange | None:
    """What revisions change on the way from one set that stands to another, built beside staging.

    Args:
        before: the revisions that stand before; empty where none does.
        after: those that stand after.
        default_privileges: those of the environment in question.

    Raises:
        MigrationError: the revisions cannot be built.
    """
    server = connections.owner_dsn(settings, connections.staging_branch(settings))
    return _cached_expected_change(server, history, before, after, default_privileges)


@lru_cache(maxsize=8)
def _cached_expected_change(
    server: str,
    history: History,
    before: tuple[str, ...],
    after: tuple[str, ...],
    default_privileges: tuple[DefaultPrivilege, ...],
) -> ExpectedChange | None:
    """A commit's revisions are always the same: staging and production ask for the same change."""
    return expected_change(server, history, before, after, default_privileges)


def _revisions(kept: RecordedCatalog) -> set[str]:
    return set() if kept.revision in {None, NO_REVISION} else {one.strip() for one in str(kept.revision).split(",")}


def _text(revisions: Sequence[str]) -> str:
    return ", ".join(revisions) or NO_REVISION
