"""The database of an environment, for commands that work on it directly."""

from typing import Literal

from deployments.settings import load_settings
from flows.cli import variables
from flows.cli.failing import CommandFailed
from tasks import connections

Environment = Literal["development", "staging", "production"]


def owner_dsn(environment: Environment | str, database_url: str | None = None) -> str:
    """A direct connection string of the role that migrates; a secret.

    Args:
        environment: development is the variable DATABASE_URL; for staging and production Neon is asked.
        database_url: the string itself, which goes before the environment.

    Raises:
        CommandFailed: there is no such environment, or DATABASE_URL is not set.
        DeploymentError: Neon does not know the branch, or the settings are not complete.
    """
    if database_url:
        return _for_libpq(database_url)
    if environment == "development":
        return _for_libpq(variables.required("DATABASE_URL", instead="--database-url"))
    if environment not in {"staging", "production"}:
        raise CommandFailed(f"there is no environment {environment}: take development, staging or production")
    settings = load_settings()
    branch = (
        connections.production_branch(settings) if environment == "production" else connections.staging_branch(settings)
    )
    return connections.owner_dsn(settings, branch)


def _for_libpq(url: str) -> str:
    """A connection string without the name of SQLAlchemy's driver."""
    scheme, mark, rest = url.partition("://")
    # A string of keywords may hold such a mark in its password.
    return f"{scheme.partition('+')[0]}{mark}{rest}" if mark and "=" not in scheme else url
