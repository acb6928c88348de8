"""Drift: an environment as it stands against what was released to it."""

from dataclasses import dataclass

from deployments.settings import Settings
from migrations.database.session import reader
from migrations.drift.comparison import DriftFinding, drift_digest
from migrations.history import applied_revisions
from migrations.history.revisions import current_revisions
from tasks import connections
from tasks.step import step
from tasks.steps.status import read_environment

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
    given = connections.settings()
    commit = _commit(given, environment)
    if commit is None:
        return DriftReport(environment, released=False, findings=(), new=False)
    history = connections.history(given, connections.repository(given).resolve(commit))
    found = read_environment(given, _branch(given, environment), environment, history, history.resolve("head")).drift
    return DriftReport(environment, released=True, findings=found, new=_is_new(given, environment, found))


def _commit(given: Settings, environment: str) -> str | None:
    """The commit whose revisions stand: of the release that recorded them, else of the one that applied them."""
    branch = connections.neon(given).branch(_branch(given, environment))
    with reader(connections.owner_dsn(given, branch)) as connection:
        stands, appliers = current_revisions(connection), applied_revisions.release_ids(connection)
    with connections.ledger(given) as ledger:
        kept = ledger.recorded_catalog(given.target, environment)
        ours = {each.id: each.commit_sha for each in ledger.releases(target=given.target, limit=None)}
    recorder = kept.release_id if kept is not None else None
    if kept is None or kept.revision != ", ".join(stands):
        recorder = next((by for by in map(appliers.get, stands) if by in ours), recorder)
    return ours.get(recorder or "")


def _branch(given: Settings, environment: str) -> str:
    return given.neon_production_branch if environment == "production" else given.neon_staging_branch


def _is_new(given: Settings, environment: str, found: tuple[DriftFinding, ...]) -> bool:
    """Whether Slack has not heard of exactly this; drift that went away is news again when it returns."""
    with connections.ledger(given) as ledger:
        if not found:
            ledger.forget_announcements(given.target, environment)
            return False
        return ledger.announce_once(given.target, environment, drift_digest(found))
