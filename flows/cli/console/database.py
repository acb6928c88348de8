"""The database of an environment, for commands that work on it directly."""

from typing import Literal

from deployments.connection_uri import is_ambiguous
from deployments.settings import load_settings
from flows.cli.console import variables
from flows.cli.console.command_errors import CommandFailed
from migrations.database.direct_connections import with_tls
from migrations.errors import MALFORMED, parts_of
from tasks import connections

Environment = Literal["development", "staging", "production"]


def owner_dsn(environment: Environment | str, database_url: str | None = None) -> str:
    """A direct connection string of the role that migrates, which forces TLS unless it stays on this machine; a secret.

    Args:
        environment: development is the variable DATABASE_URL; for staging and production Neon is asked.
        database_url: the string itself, which goes before the environment.

    Raises:
        CommandFailed: there is no such environment, or DATABASE_URL is not set or cannot be read.
        DeploymentError: Neon does not know the branch, or the settings are not complete.
    """
    if database_url:
        return with_tls(for_libpq(database_url, "--database-url"))
    if environment == "development":
        return with_tls(for_libpq(variables.require_variable("DATABASE_URL", instead="--database-url"), "DATABASE_URL"))
    if environment not in {"staging", "production"}:
        raise CommandFailed(f"there is no environment {environment}: take development, staging or production")
    settings = load_settings()
    branch = (
        connections.production_branch(settings) if environment == "production" else connections.staging_branch(settings)
    )
    return connections.owner_dsn(settings, branch)


def for_libpq(url: str, given_as: str) -> str:
    """A connection string without the name of SQLAlchemy's driver.

    Raises:
        CommandFailed: it cannot be read, or may be read in more than one way; nothing of it is told.
    """
    if not is_readable(url):
        raise CommandFailed(f"{given_as} cannot be read: {MALFORMED}")
    return _without_driver(url)


def is_readable(url: str) -> bool:
    """Whether a connection string can be read, and in one way only."""
    found = _without_driver(url)
    return parts_of(found) is not None and not (_is_address(found) and is_ambiguous(found))


def _without_driver(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{mark}{rest}" if _is_address(url) else url


def _is_address(url: str) -> bool:
    """Whether it is an address; a string of keywords may hold such a mark in its password."""
    scheme, mark, _ = url.partition("://")
    return bool(mark) and "=" not in scheme
