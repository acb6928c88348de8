"""Whether a database is one for development: rows of production and staging are not edited by hand."""

from deployments.connection_uri import foreign_host, is_loopback
from deployments.errors import BranchNotFound, SettingsError
from deployments.neon.client import Branch, NeonClient
from deployments.settings import NeonSettings, load_neon_settings
from flows.cli.console.command_errors import CommandFailed
from migrations.authoring.reset import Identity, identify


def refuse_beyond_development(dsn: str) -> str:
    """Make sure that a database is neither production's nor staging's.

    Args:
        dsn: direct connection string; it goes by where the session really leads, through a tunnel too.

    Returns:
        The database and the server, to be shown.

    Raises:
        CommandFailed: it is, or it could not be told.
        DeploymentError: Neon did not answer.
        MigrationError: a database did not.
    """
    found = identify(dsn)
    shown = f"{found.database} on {found.host}:{found.port}"
    try:
        settings = load_neon_settings()
    except SettingsError as error:
        if _is_nearby(found):
            return shown
        raise CommandFailed(f"whether {shown} is production or staging could not be told: {error}") from error
    client = NeonClient(settings.neon_api_url, settings.neon_api_key, settings.neon_project_id)
    for name in (settings.neon_production_branch, settings.neon_staging_branch):
        try:
            branch = client.branch(name)
        except BranchNotFound:
            continue
        if _leads_to(found, branch, client, settings):
            raise CommandFailed(
                f"{shown} is {name}: the studio is for development; take a branch (`pilotage branch create`) "
                "or a database of your own (`pilotage db up`)"
            )
    return shown


def _leads_to(found: Identity, branch: Branch, client: NeonClient, settings: NeonSettings) -> bool:
    hosts = {endpoint.host for endpoint in client.endpoints(branch.id)}
    if not hosts:
        return False
    ways = {found.host, found.address} - {""}
    if any(foreign_host(f"postgresql://{way}:{found.port}/", hosts) is None for way in ways):
        return True
    # A tunnel or a proxy has another address, but the same server behind it.
    uri = client.connection_uri(branch.id, database=settings.neon_database, role=settings.neon_owner_role, pooled=False)
    return found.is_same_database(identify(uri.get_secret_value()))


def _is_nearby(found: Identity) -> bool:
    return is_loopback(found.address) if found.address else found.host.startswith("/")
