"""One way to build a commit's application, for staging and for production alike."""

from typing import Literal

from pydantic import SecretStr

from deployments.repository import Commit
from deployments.settings import Settings
from deployments.vercel import Deployment
from tasks import connections


def build(
    given: Settings, release_id: str, commit: Commit, *, environment: Literal["staging", "production"]
) -> Deployment:
    """Write the environment's pooled DSN into the build's variables, then build the commit without domains.

    Args:
        environment: `production`, or `staging`, which Vercel calls a preview.

    Raises:
        BuildFailed: the build ended in an error.
    """
    client = connections.vercel(given)
    target: Literal["production", "preview"] = "production" if environment == "production" else "preview"
    client.set_environment("DATABASE_URL_POOLED", application_dsn(given, environment), targets=(target,))
    return client.build(commit.sha, commit.ref, target=target, meta={"releaseId": release_id})


def application_dsn(given: Settings, environment: Literal["staging", "production"]) -> SecretStr:
    """The application's pooled DSN: the secret given for it, or else the one that Neon knows."""
    secret = given.app_database_url if environment == "production" else given.app_staging_database_url
    if secret is not None:
        return secret
    client = connections.neon(given)
    name = given.neon_production_branch if environment == "production" else given.neon_staging_branch
    return client.connection_uri(
        client.branch(name).id, database=given.neon_database, role=given.neon_app_role, pooled=True
    )
