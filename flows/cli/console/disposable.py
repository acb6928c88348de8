"""Which databases may be dropped, and which seeded: never production's, whatever was asked for."""

import os
from collections.abc import Iterator
from pathlib import Path

from deployments.connection_uri import foreign_host, is_loopback
from deployments.errors import BranchNotFound, SettingsError
from deployments.neon.client import Branch, NeonClient
from deployments.settings import NeonSettings, is_placeholder, load_neon_settings
from flows.cli.console import variables
from migrations.authoring.errors import ResetRefused
from migrations.authoring.reset import Identity, identify
from migrations.errors import MigrationError, describe_database
from migrations.seeds.errors import SeedRefused


def refuse_unless_disposable(dsn: str) -> str:
    """Let through only what is surely nobody's: a database on this machine, or a development branch.

    It goes by where the session really leads, and by what stands in the database, not by what it is called.

    Args:
        dsn: direct connection string of the owner.

    Returns:
        The string to go on with: it leads to the server that was looked at, and to no other; a secret.

    Raises:
        ResetRefused: it is staging's or production's, or it cannot be told that it is not.
        DeploymentError: Neon was asked, and did not answer.
        MigrationError: the database could not be read.
    """
    return _let_through(dsn, "reset", ResetRefused, staging=False)


def refuse_unless_seedable(dsn: str, *, staging: bool) -> str:
    """Let through what may be dropped, and staging where that was asked for and Neon says that it is there.

    Args:
        dsn: direct connection string of the owner.
        staging: whether staging was asked for.

    Returns:
        The string to go on with: it leads to the server that was looked at, and to no other; a secret.

    Raises:
        SeedRefused: it is production's, or it cannot be told that it is not.
        DeploymentError: Neon was asked, and did not answer.
        MigrationError: the database could not be read.
    """
    return _let_through(dsn, "seeded", SeedRefused, staging=staging)


def _let_through(dsn: str, done: str, refused: type[MigrationError], *, staging: bool) -> str:
    try:
        settings = _settings()
    except SettingsError as error:
        why = f"whether {describe_database(dsn)} is production's cannot be told, so that it is not {done}: {error}"
        raise refused(why) from error
    found = identify(dsn)
    if settings is None:
        refusal = _by_itself(dsn, found, done) or (None if _is_here(found) else _anybodys(dsn, done))
    else:
        client = NeonClient(settings.neon_api_url, settings.neon_api_key, settings.neon_project_id)
        branch = _branch(client, found)
        wanted = staging and branch is not None and _is_staging(branch, settings)
        refusal = None if wanted else _by_branch(dsn, found, branch, settings, done)
        refusal = refusal or _by_environments(dsn, found, client, settings, done, wanted=wanted)
        refusal = refusal or (None if wanted else _by_itself(dsn, found, done))
    if refusal is not None:
        raise refused(refusal)
    return found.bound_dsn


def _is_staging(branch: Branch, settings: NeonSettings) -> bool:
    """Whether it is staging's: what the settings call production, and Neon's default branch, are production's."""
    return branch.name == settings.neon_staging_branch != settings.neon_production_branch and not branch.default


def _by_branch(dsn: str, found: Identity, branch: Branch | None, settings: NeonSettings, done: str) -> str | None:
    """Why the branch that it is on has it that a database is left alone; None where it has not."""
    if branch is None:
        return None if _is_here(found) else _anybodys(dsn, done)
    if branch.name in {settings.neon_production_branch, settings.neon_staging_branch}:
        asked = done == "seeded" and _is_staging(branch, settings)
        hint = " as development: say --environment staging" if asked else ""
        return f"{describe_database(dsn)} is {branch.name}'s database, which is never {done}{hint}"
    if branch.default or branch.protected:
        kind = "the project's default branch" if branch.default else "a protected branch"
        return f"{describe_database(dsn)} is on {branch.name}, {kind}, which is never {done}"
    return None


def _by_environments(
    dsn: str, found: Identity, client: NeonClient, settings: NeonSettings, done: str, *, wanted: bool
) -> str | None:
    """Why the databases of the environments have it that a database is left alone; None where they have not."""
    for name, uri in _environments(client, settings):
        if not (wanted and name == settings.neon_staging_branch) and found.is_same_database(identify(uri)):
            return f"{describe_database(dsn)} leads to {name}'s database, which is never {done}"
    return None


def _by_itself(dsn: str, found: Identity, done: str) -> str | None:
    """Why a database on this machine tells by itself that it is left alone; None where it does not."""
    if not _is_here(found):
        return None
    if found.releases is None:
        return (
            f"{describe_database(dsn)} keeps a record of releases that this role may not read, so that it"
            f" cannot be told whose it is: it is not {done}"
        )
    if found.releases:
        return (
            f"{describe_database(dsn)} has revisions that releases applied ({', '.join(found.releases[-3:])}): it is"
            f" an environment, or a copy of one, and is not {done}; drop it by hand if it is yours"
        )
    return None


def _anybodys(dsn: str, done: str) -> str:
    return (
        f"{describe_database(dsn)} is neither on this machine nor on a branch of the project that the settings name, "
        f"so that it could be anybody's: it is not {done}"
    )


def _is_here(found: Identity) -> bool:
    return is_loopback(found.address) if found.address else found.host.startswith("/")


def _settings() -> NeonSettings | None:
    """The project that holds the environments; None where nobody named one.

    Raises:
        SettingsError: somebody did, and not so that it can be asked: what is wrong there must not look like nothing.
    """
    file = os.environ.get("PILOTAGE_ENV_FILE")
    named = [variables.find_variable("NEON_API_KEY"), variables.find_variable("NEON_PROJECT_ID")]
    if (file is None or Path(file).is_file()) and all(one is None or is_placeholder(one) for one in named):
        return None
    return load_neon_settings()


def _branch(client: NeonClient, found: Identity) -> Branch | None:
    """The branch of the project that the session leads to; None where it is none."""
    hosts = {found.host, found.address} - {""}
    for branch in client.branches():
        known = {endpoint.host for endpoint in client.endpoints(branch.id)}
        if any(foreign_host(f"postgresql://{host}:{found.port}/", known) is None for host in hosts):
            return branch
    return None


def _environments(client: NeonClient, settings: NeonSettings) -> Iterator[tuple[str, str]]:
    """Production's and staging's own databases: a tunnel, or another name, may lead to one of them."""
    for name in dict.fromkeys((settings.neon_production_branch, settings.neon_staging_branch)):
        try:
            branch = client.branch(name)
        except BranchNotFound:
            if name == settings.neon_production_branch:
                raise
            continue
        if client.endpoints(branch.id):
            role, database = settings.neon_owner_role, settings.neon_database
            uri = client.connection_uri(branch.id, database=database, role=role, pooled=False)
            yield name, uri.get_secret_value()
