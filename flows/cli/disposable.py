"""Which databases may be dropped, and which seeded: never production's, whatever was asked for."""

from collections.abc import Iterator

from deployments.connection_uri import foreign_host, is_loopback
from deployments.errors import SettingsError
from deployments.neon import NeonClient
from deployments.settings import Settings, load_settings
from flows.cli.database import owner_dsn
from migrations.errors import place
from migrations.errors_revisions import ResetRefused
from migrations.errors_seeds import SeedRefused
from migrations.resetting import Identity, identify


def refuse_unless_disposable(dsn: str) -> None:
    """Let through only what is surely nobody's: a database on this machine, or a development branch.

    It goes by where the session really leads, and by what stands in the database, not by what it is called.

    Args:
        dsn: direct connection string of the owner.

    Raises:
        ResetRefused: it is staging's or production's, or it cannot be told that it is not.
        DeploymentError: Neon was asked, and did not answer.
        MigrationError: the database could not be read.
    """
    if refusal := _refusal(dsn, "reset", staging=False):
        raise ResetRefused(refusal)


def refuse_unless_seedable(dsn: str, *, staging: bool) -> None:
    """Let through what may be dropped, and staging where that was asked for and Neon says that it is there.

    Args:
        dsn: direct connection string of the owner.
        staging: whether staging was asked for.

    Raises:
        SeedRefused: it is production's, or it cannot be told that it is not.
        DeploymentError: Neon was asked, and did not answer.
        MigrationError: the database could not be read.
    """
    if refusal := _refusal(dsn, "seeded", staging=staging):
        raise SeedRefused(refusal)


def _refusal(dsn: str, done: str, *, staging: bool) -> str | None:
    """Why a database must be left alone; None where it need not."""
    found = identify(dsn)
    here = is_loopback(found.address) if found.address else found.host.startswith("/")
    settings = _settings()
    branch = _branch(settings, found) if settings else None
    if settings and branch in _environments(settings):
        # Whatever the settings call staging: what they call production is production.
        if staging and branch == settings.neon_staging_branch != settings.neon_production_branch:
            return None
        return f"{place(dsn)} is {branch}'s database, which is never {done}" + _for_staging(settings, branch, done)
    if not here:
        if branch is None:
            return (
                f"{place(dsn)} is neither on this machine nor on a branch of the project that the settings name, "
                f"so that it could be anybody's: it is not {done}"
            )
        return None
    if found.releases:
        return (
            f"{place(dsn)} has revisions that releases applied ({', '.join(found.releases[-3:])}): it is an "
            f"environment, or a copy of one, and is not {done}; drop it by hand if it is yours"
        )
    for name, theirs in _environment_databases(settings):
        if found.is_same_database(theirs):
            return f"{place(dsn)} leads to {name}'s database, which is never {done}"
    return None


def _for_staging(settings: Settings, branch: str | None, done: str) -> str:
    asked = done == "seeded" and branch == settings.neon_staging_branch
    return " as development: say --environment staging" if asked else ""


def _settings() -> Settings | None:
    try:
        return load_settings()
    except SettingsError:
        return None


def _environments(settings: Settings) -> tuple[str, str]:
    return settings.neon_production_branch, settings.neon_staging_branch


def _branch(settings: Settings, found: Identity) -> str | None:
    """The branch of the project that the session leads to; None where it is none."""
    client = NeonClient(settings.neon_api_url, settings.neon_api_key, settings.neon_project_id)
    hosts = {found.host, found.address} - {""}
    for branch in client.branches():
        known = {endpoint.host for endpoint in client.endpoints(branch.id)}
        if any(foreign_host(f"postgresql://{host}:{found.port}/", known) is None for host in hosts):
            return branch.name
    return None


def _environment_databases(settings: Settings | None) -> Iterator[tuple[str, Identity]]:
    """Production's and staging's own, to which a tunnel may lead that ends on this machine."""
    if settings is not None:
        for environment in ("production", "staging"):
            yield environment, identify(owner_dsn(environment))
