"""Drift: an environment as it stands against what was released to it."""

from dataclasses import dataclass

from deployments.settings import Settings
from migrations.database.session import reader
from migrations.drift.comparison import DriftFinding, drift_digest
from migrations.history import applied_revisions
from migrations.history.revisions import current_revisions
from tasks import connections, served_build
from tasks.step import step
from tasks.steps.status import find_moved_by_hand, read_environment

ENVIRONMENTS = ("production", "staging")


@dataclass(frozen=True)
class DriftReport:
    """What was found in one environment.

    Attributes:
        environment: production or staging.
        released: whether anything was ever released to it; without, there is nothing to hold it against.
        findings: what differs.
        new: whether these findings have not been told before.
    """

    environment: str
    released: bool
    findings: tuple[DriftFinding, ...]
    new: bool

    @property
    def text(self) -> str:
        """The findings, one a line, each with what to do."""
        return "\n".join(str(one) for one in self.findings)


@step("drift", timeout_s=600)
def check_environment(environment: str) -> DriftReport:
    """Compare the live catalogue and the applied revisions with the last release.

    Args:
        environment: `production` or `staging`.
    """
    settings = connections.settings()
    commit = _commit(settings, environment)
    if commit is None:
        return DriftReport(environment, released=False, findings=(), new=False)
    history = connections.history(settings, connections.repository(settings).resolve(commit))
    found = read_environment(
        settings, _branch(settings, environment), environment, history, history.resolve("head")
    ).drift
    if environment == "production":
        serving = connections.vercel(settings).production_deployment()
        found += find_moved_by_hand(settings, serving)
        if (other := served_build.disagreement(settings, serving)) is not None:
            found += (DriftFinding("serving", connections.production_url(settings), other.detail, other.advice),)
    return DriftReport(environment, released=True, findings=found, new=_is_new(settings, environment, found))


def _commit(settings: Settings, environment: str) -> str | None:
    """The commit whose revisions stand: of the release that recorded them, else of the one that applied them."""
    branch = connections.neon(settings).branch(_branch(settings, environment))
    with reader(connections.owner_dsn(settings, branch)) as connection:
        current, appliers = current_revisions(connection), applied_revisions.release_ids(connection)
    with connections.ledger(settings) as ledger:
        kept = ledger.recorded_catalog(settings.target, environment)
        ours = {each.id: each.commit_sha for each in ledger.releases(target=settings.target, limit=None)}
    recorder = kept.release_id if kept is not None else None
    if kept is None or kept.revision != ", ".join(current):
        recorder = next((by for by in map(appliers.get, current) if by in ours), recorder)
    return ours.get(recorder or "")


def _branch(settings: Settings, environment: str) -> str:
    return settings.neon_production_branch if environment == "production" else settings.neon_staging_branch


def _is_new(settings: Settings, environment: str, found: tuple[DriftFinding, ...]) -> bool:
    """Whether Slack has not heard of exactly this; drift that went away is news again when it returns."""
    with connections.ledger(settings) as ledger:
        if not found:
            ledger.forget_announcements(settings.target, environment)
            return False
        return ledger.announce_once(settings.target, environment, drift_digest(found))
