"""Whether a database is one for development: rows of production and staging are not edited by hand."""

import ipaddress

from psycopg import Connection

from deployments.connection_uri import foreign_host
from deployments.errors import BranchNotFound, SettingsError
from deployments.neon import NeonClient
from deployments.settings import NeonSettings, load_neon_settings
from flows.cli.failing import CommandFailed
from migrations.session import connect


def refuse_beyond_development(dsn: str) -> str:
    """Make sure that a database is neither production's nor staging's.

    Args:
        dsn: direct connection string; where it leads is asked of the connection, not read from the string.

    Returns:
        The database and the server, to be shown.

    Raises:
        CommandFailed: it is, or it could not be told.
        DeploymentError: Neon did not answer.
        DatabaseUnreachable: the database did not.
    """
    with connect(dsn, application_name="pilotage studio") as connection:
        host, port, name = connection.info.host, connection.info.port, connection.info.dbname
        nearby = _is_loopback(connection)
    try:
        settings = load_neon_settings()
    except SettingsError as error:
        if nearby:
            return f"{name} on {host}:{port}"
        raise CommandFailed(f"whether {host} is production or staging could not be told: {error}") from error
    # A database on this machine is no branch of the real service, whether that can be reached or not.
    if not nearby or _is_here(settings.neon_api_url.host or ""):
        _refuse_branches(settings, host, port)
    return f"{name} on {host}:{port}"


def _refuse_branches(settings: NeonSettings, host: str, port: int) -> None:
    client = NeonClient(settings.neon_api_url, settings.neon_api_key, settings.neon_project_id)
    for name in (settings.neon_production_branch, settings.neon_staging_branch):
        try:
            branch = client.branch(name)
        except BranchNotFound:
            continue
        hosts = {endpoint.host for endpoint in client.endpoints(branch.id)}
        if foreign_host(f"postgresql://{host}:{port}/", hosts) is None:
            raise CommandFailed(
                f"{host}:{port} is {name}: the studio is for development; take a branch (`pilotage branch create`) "
                "or a database of your own (`pilotage db up`)"
            )


def _is_loopback(connection: Connection) -> bool:
    info = connection.info
    return info.host.startswith("/") or _is_here(info.hostaddr or info.host)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
