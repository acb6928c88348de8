"""Validation: is every row there, is the schema what was promised, and do users get answers?"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

import stamina

from deployments.application import endpoints
from deployments.application.address_watch import Observation, watch
from deployments.errors import DeploymentError
from deployments.git.repository import Commit
from deployments.settings import Settings
from deployments.vercel.client import RequestCounts
from migrations.catalog.contents import Catalog, read_catalog
from migrations.checks.integrity import run_checks
from migrations.checks.users import users_seen
from migrations.database.session import reader
from tasks import catalogue, connections, verdicts
from tasks.acts import Act
from tasks.errors import is_transient
from tasks.record import recorded_step
from tasks.step import step
from tasks.values import RestorePoint, Verdict

# How long production's database may be away once a window was watched.
PATIENCE_S = 60.0
SLICE_S = 5.0


@step("validate database", timeout_s=900)
def validate_database(
    release_id: str, commit: Commit, revisions: tuple[str, ...], point: RestorePoint, *, unchanged: bool = False
) -> tuple[Verdict, ...]:
    """Hold production's catalogue and rows against what they must be and what was there before.

    Args:
        commit: the commit whose revisions stand in production.
        revisions: the revisions that production must be at.
        point: the restore point; its baseline tells what was wrong already.
        unchanged: compare with the catalogue of the restore point, instead of with the one that was recorded or kept
            last and what the revisions since have made of it.

    Raises:
        DeploymentError: what the catalogue must be cannot be told, such as without the repository, and nothing else
            was found wrong: rows that are wrong are told all the same.
    """
    settings = connections.settings()
    dsn = connections.owner_dsn(settings, connections.production_branch(settings))
    with recorded_step(release_id, Act.VALIDATE_DATABASE, revisions=list(revisions)) as entry:
        with reader(dsn) as connection:
            live = read_catalog(connection)
        unknown: DeploymentError | None = None
        try:
            must = (
                catalogue.ExpectedCatalog(Catalog.from_json(point.catalog_json))
                if unchanged
                else _expected(settings, dsn, commit, revisions)
            )
        except DeploymentError as error:
            must, unknown = catalogue.ExpectedCatalog(None, why=str(error)), error
        # A check needs to know what there is; where that cannot be told, the catalogue's verdict says so.
        promised = must.catalog or live
        found = run_checks(dsn, promised=promised, row_counts=point.seal.row_counts, loss_limit=settings.row_loss_limit)
        # Roles are given their grants outside of releases, so these are compared only where nothing may have changed.
        ignored = () if unchanged else ("grant",)
        judged = (
            verdicts.catalogue(must.catalog and must.catalog.without(*ignored), live.without(*ignored), must.why),
            *(verdicts.check(point, result) for result in found),
        )
        if unknown is not None and not any(verdict.passed is False for verdict in judged):
            raise unknown
        entry.result({"verdicts": [verdicts.as_json(v) for v in judged]})
    return judged


def _expected(settings: Settings, dsn: str, commit: Commit, revisions: tuple[str, ...]) -> catalogue.ExpectedCatalog:
    history = connections.history(settings, commit)
    with reader(dsn) as connection:
        live = catalogue.LiveSchema.read(connection, history)
    return catalogue.expected_for(settings, "production", history, replace(live, revisions=revisions))


@dataclass(frozen=True)
class WatchWindow:
    """What a watch window measures.

    Attributes:
        seconds: its length.
        since: users active after this moment are counted, where they are expected; by the clock of the database.
        deployment_id: the deployment whose real requests are counted.
        expect_users: whether users must have been seen; a first release has none yet.
    """

    seconds: float
    since: datetime
    deployment_id: str
    commit_sha: str | None
    expect_users: bool


@step("watch production", timeout_s=4000, retries=0)
def watch_production(release_id: str, window: WatchWindow) -> tuple[Verdict, ...]:
    """Watch production until the window closes, or until it is plain that the build is not fit."""
    settings = connections.settings()
    with recorded_step(
        release_id, Act.WATCH_PRODUCTION, seconds=window.seconds, deployment=window.deployment_id
    ) as entry:
        health = endpoints.health(connections.production_url(settings), bypass=None)
        observed, counted = _observe(settings, window)
        users = _users(settings, window) if window.expect_users else None
        judged = (
            verdicts.health(health, window.commit_sha),
            verdicts.latency(settings, observed),
            verdicts.errors(settings, observed, counted, expect_traffic=window.expect_users),
            *((verdicts.users_seen(settings, users),) if window.expect_users else ()),
        )
        entry.result({"verdicts": [verdicts.as_json(v) for v in judged]})
    return judged


def _observe(settings: Settings, window: WatchWindow) -> tuple[Observation, RequestCounts | None]:
    """Probe from outside in slices while the platform's log of real requests is read beside it."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        counting = pool.submit(
            connections.vercel(settings).runtime_requests, window.deployment_id, seconds=window.seconds + 1, stop=stop
        )
        try:
            observed = Observation()
            ends = time.monotonic() + window.seconds
            while (left := ends - time.monotonic()) > 0 and not _cannot_recover(settings, observed):
                observed = observed.plus(
                    watch(connections.production_url(settings), seconds=min(SLICE_S, left), rate=settings.watch_rate)
                )
        finally:
            stop.set()
        return observed, counting.result()


def _cannot_recover(settings: Settings, observed: Observation) -> bool:
    """A build whose errors can no longer come under the limit within the window is not watched to its end."""
    return observed.errors >= 10 and observed.errors > observed.requests * settings.error_rate_limit * 10


def _users(settings: Settings, window: WatchWindow) -> int | None:
    """The users seen since the window began; a window that was watched is not given up over a passing error."""
    for attempt in stamina.retry_context(on=is_transient, attempts=None, timeout=PATIENCE_S, wait_initial=0.5):
        with attempt:
            dsn = connections.owner_dsn(settings, connections.production_branch(settings))
            with reader(dsn) as connection:
                return users_seen(connection, window.since)
    raise AssertionError("unreachable")
