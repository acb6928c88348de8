"""The databases: reached as the owner and as the application, with the rights that a release needs and no more."""

from collections.abc import Callable, Iterator
from datetime import datetime

from deployments.errors import WrongDatabase
from deployments.settings import Settings
from migrations.checks.readiness import Readiness, read_readiness, read_role
from migrations.database.session import connect, reader
from tasks import builds, connections
from tasks.builds import Environment
from tasks.doctor.clocks import skew_finding
from tasks.doctor.finding import Finding, bad, cannot_tell, good

ENVIRONMENTS: tuple[Environment, ...] = ("production", "staging")


def owner_findings(settings: Settings, environment: Environment, now: Callable[[], datetime]) -> Iterator[Finding]:
    """What the owner's direct connection tells.

    Raises:
        DeploymentError: Neon gives no connection string.
        MigrationError: the database does not answer, or a pooler does.
    """
    line = f"{environment}'s database"
    dsn = connections.owner_dsn(settings, connections.environment_branch(settings, environment))
    # A session of the kind that migrates: it refuses a pooler.
    with connect(dsn, autocommit=True) as session:
        asked = now()
        found = read_readiness(session)
    yield from _rights(line, found)
    yield skew_finding(f"clock of {line}", asked, found.moment)
    yield statements_finding(environment, found)
    with reader(dsn) as session:
        role = read_role(session, settings.neon_app_role)
    named = f"role {settings.neon_app_role} in {environment}"
    advice = f"run `pilotage roles --environment {environment}`; `pilotage security-check` tells more"
    if role is None:
        yield bad(named, "there is none of that name", advice)
    elif role.excess:
        yield bad(named, f"it {', '.join(role.excess)}: an application must not", advice)
    elif not role.may_log_in:
        yield bad(named, "it may not log in", f"let it: ALTER ROLE {settings.neon_app_role} LOGIN PASSWORD …")
    else:
        yield good(named, "it may log in, and has none of the owner's rights")


def application_findings(settings: Settings, environment: Environment) -> Iterator[Finding]:
    """Whether the connection string that builds are given leads to the environment's database.

    Raises:
        DeploymentError: Neon knows no connection string, and none was given.
        MigrationError: the owner's database does not answer.
    """
    line = f"application's connection string for {environment}"
    try:
        builds.application_dsn(settings, environment)
    except WrongDatabase as error:
        if not error.transient:
            yield bad(line, str(error), f"correct {error.variable}")
        else:
            yield cannot_tell(line, str(error), "try again when it answers")
    else:
        yield good(line, "it leads to the environment's own database, and is not the owner's")


def _rights(line: str, found: Readiness) -> Iterator[Finding]:
    version = f"PostgreSQL {found.server_version // 10000}, {found.database} as {found.user}, directly"
    if found.owns_database:
        yield good(line, version, "an owner that is no superuser is enough" if found.superuser else "")
    else:
        yield bad(
            line,
            f"{found.user} has not the rights of {found.database}'s owner, and can apply no revision",
            "set NEON_OWNER_ROLE to the role that owns the database",
        )


def statements_finding(environment: str, found: Readiness) -> Finding:
    """Whether a rehearsal can know the statements of the application that runs."""
    line = f"pg_stat_statements in {environment}"
    if found.counts_statements:
        return good(line, "it is there: a rehearsal tries the application's own statements")
    return bad(
        line,
        "it is not there: a rehearsal could not try the application's own statements",
        f"run CREATE EXTENSION pg_stat_statements in {found.database} as {found.user}",
    )
