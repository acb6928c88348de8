"""The whole examination, in the order in which one thing rests on another, or its cheap half."""

from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime

from deployments.errors import DeploymentError
from deployments.service import observed
from deployments.settings import Settings
from migrations.disclosure.sentences import clause
from migrations.errors import MigrationError
from tasks import connections
from tasks.doctor import databases, neon, surroundings, vercel
from tasks.doctor.clocks import ServiceClocks
from tasks.doctor.finding import Finding, Look, bad, cannot_tell, looked_at

_AT_NEON = "look at NEON_API_URL, NEON_API_KEY and NEON_PROJECT_ID"
_AT_VERCEL = "look at VERCEL_API_URL, VERCEL_TOKEN, VERCEL_TEAM_ID, VERCEL_PROJECT_ID and VERCEL_CONFIG_ID"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def examine(settings: Settings, *, thorough: bool = True, now: Callable[[], datetime] = _utc_now) -> Iterator[Finding]:
    """Look at everything that a release needs; nothing is changed.

    Args:
        settings: the settings.
        thorough: whether databases, the ledger, the repository and Prefect are looked at as well, or what a few reads
            of Neon's and Vercel's APIs tell.
        now: this machine's clock.

    Yields:
        One finding a line, as each is found.
    """
    clocks = ServiceClocks(now)
    with observed(clocks.note):
        yield from _neon(settings, thorough, now)
        yield from _vercel(settings, thorough, now)
    yield from clocks.findings(("Neon", "Vercel"))
    if thorough:
        yield from looked_at("ledger", lambda: surroundings.ledger_findings(settings), "look at LEDGER_URL")
        yield from looked_at(
            "repository", lambda: surroundings.repository_findings(settings), "look at RELEASE_REPOSITORY"
        )
        yield from surroundings.prefect_findings()


def _neon(settings: Settings, thorough: bool, now: Callable[[], datetime]) -> Iterator[Finding]:
    client = connections.neon(settings)
    known = yield from _first("Neon", lambda: neon.neon_findings(settings, client), _AT_NEON)
    if not thorough:
        return
    if not known:
        yield cannot_tell("databases", "Neon has to answer first: it knows where they are")
        return
    yield from looked_at("computes", lambda: neon.compute_findings(settings, client), _AT_NEON)
    for environment in databases.ENVIRONMENTS:
        line = f"{environment}'s database"
        advice = "look at the branch, at NEON_DATABASE and NEON_OWNER_ROLE"
        reached = yield from _first(line, lambda e=environment: databases.owner_findings(settings, e, now), advice)
        if reached:
            line, advice = f"application's connection string for {environment}", "look at NEON_APP_ROLE"
            yield from looked_at(line, lambda e=environment: databases.application_findings(settings, e), advice)
        else:
            yield cannot_tell(
                f"application's connection string for {environment}", "the owner's has to lead somewhere first"
            )


def _vercel(settings: Settings, thorough: bool, now: Callable[[], datetime]) -> Iterator[Finding]:
    client = connections.vercel(settings)
    known = yield from _first("Vercel", lambda: vercel.project_findings(settings, client), _AT_VERCEL)
    if not known:
        yield cannot_tell("production's address", "Vercel has to answer first: it knows what is to serve there")
        return
    yield from looked_at("production's address", lambda: vercel.address_findings(settings, client), _AT_VERCEL)
    if thorough:
        yield from looked_at("Vercel token", lambda: vercel.token_findings(client, now), _AT_VERCEL)
        yield from looked_at("protection bypass", lambda: vercel.bypass_findings(settings, client), _AT_VERCEL)


def _first(line: str, look: Look, advice: str) -> Generator[Finding, None, bool]:
    """The findings of a look that others rest on; returns whether it could be taken."""
    try:
        yield from look()
    except (DeploymentError, MigrationError) as error:
        yield bad(line, clause(str(error)), advice)
        return False
    return True
