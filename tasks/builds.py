"""One way to build a commit's application, for staging and for production alike."""

from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from deployments.connection_uri import encrypted, why_ambiguous
from deployments.errors import SharedVariable, WrongDatabase
from deployments.git.repository import Commit
from deployments.settings import Settings
from deployments.vercel.client import Deployment, Target, VercelClient
from migrations.database.same_database import refuse_another_database
from migrations.errors import MigrationError
from tasks import connections

Environment = Literal["staging", "production"]

DSN_VARIABLE = "DATABASE_URL_POOLED"


def build(settings: Settings, release_id: str, commit: Commit, *, environment: Environment) -> Deployment:
    """Write the environment's pooled DSN into the build's variables, then build the commit without domains.

    Args:
        environment: `production`, or `staging`, which Vercel calls a preview.

    Raises:
        WrongDatabase: the DSN does not lead to the environment; nothing was built.
        SharedVariable: another environment's builds would be given the DSN; nothing was written or built.
        BuildFailed: the build ended in an error.
    """
    client = connections.vercel(settings)
    target: Target = "production" if environment == "production" else "preview"
    dsn = application_dsn(settings, environment)
    client.set_environment(DSN_VARIABLE, dsn, target=target, git_ref=commit.ref)
    return client.build(commit.sha, commit.ref, target=target, meta={"releaseId": release_id})


def application_dsn(settings: Settings, environment: Environment) -> SecretStr:
    """The application's pooled DSN, proven to lead to the environment: the secret given for it, or what Neon knows.

    Raises:
        WrongDatabase: it leads elsewhere, where it leads cannot be told, or it is the owner's; nothing was sent there.
    """
    client, branch = connections.neon(settings), connections.environment_branch(settings, environment)
    setting, secret = _given(settings, environment)
    if secret is None:
        secret = client.connection_uri(
            branch.id, database=settings.neon_database, role=settings.neon_app_role, pooled=True
        )
    if (why := why_ambiguous(secret.get_secret_value())) is not None:
        raise WrongDatabase(setting, environment, why)
    if unquote(urlsplit(secret.get_secret_value()).username or "") == settings.neon_owner_role:
        why = (
            f"it is {settings.neon_owner_role}'s, who owns the database: an application with its rights sees every row"
        )
        raise WrongDatabase(setting, environment, f"{why} and may change the schema")
    dsn = encrypted(secret.get_secret_value())
    try:
        refuse_another_database(dsn, connections.owner_dsn(settings, branch))
    except MigrationError as error:
        raise WrongDatabase(setting, environment, str(error), transient=error.transient) from error
    return SecretStr(dsn)


def rejected_application_dsns(settings: Settings, *, reset_staging: bool) -> list[str]:
    """Why the connection strings that were given for the application are not used, before anything is touched.

    Args:
        reset_staging: whether staging is to be replaced, and with it the roles that may log in there.
    """
    found: list[str] = []
    for environment in ("production", "staging"):
        if _given(settings, environment)[1] is None:
            continue
        try:
            application_dsn(settings, environment)
        except WrongDatabase as error:
            if not (error.transient and environment == "staging" and reset_staging):
                found.append(str(error))
    return found


def shared_variables(client: VercelClient, ref: str | None) -> list[str]:
    """Why the connection strings could not be written into the builds' variables, before anything is touched.

    Args:
        client: Vercel.
        ref: the ref that will be built; None where none is known yet.
    """
    targets: tuple[Target, ...] = ("production", "preview")
    found: list[str] = []
    for target in targets:
        try:
            client.variable(DSN_VARIABLE, target, git_ref=ref)
        except SharedVariable as error:
            found.append(str(error))
    return found


def _given(settings: Settings, environment: Environment) -> tuple[str, SecretStr | None]:
    """The setting that says how the application comes to its database, and the secret that it gives, if any."""
    if environment == "production":
        setting, secret = "APP_DATABASE_URL", settings.app_database_url
    else:
        setting, secret = "APP_STAGING_DATABASE_URL", settings.app_staging_database_url
    return ("NEON_APP_ROLE", None) if secret is None else (setting, secret)
