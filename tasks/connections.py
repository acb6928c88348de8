"""The clients of a run, made from the worker's environment; nothing secret passes through Prefect."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from deployments.git.repository import Commit, ReleaseRepository
from deployments.ledger import Ledger
from deployments.neon.client import Branch, NeonClient
from deployments.settings import Settings, load_settings
from deployments.slack import Slack
from deployments.vercel.client import VercelClient
from migrations.history.revisions import History
from tasks.fencing import ActFence


def settings() -> Settings:
    """The worker's settings; SettingsError names what is missing."""
    return load_settings()


def neon(settings: Settings, *, in_release: bool = True) -> NeonClient:
    """The client of Neon's API for the target's project.

    Args:
        settings: the worker's settings.
        in_release: whether its changes are acts of a release, and refused outside of one.
    """
    fence = ActFence() if in_release else None
    return NeonClient(settings.neon_api_url, settings.neon_api_key, settings.neon_project_id, fence=fence)


def vercel(settings: Settings, *, in_release: bool = True) -> VercelClient:
    """The client of Vercel's API for the target's project.

    Args:
        settings: the worker's settings.
        in_release: whether its changes are acts of a release, and refused outside of one.
    """
    return VercelClient(
        settings.vercel_api_url,
        settings.vercel_token,
        settings.vercel_team_id,
        settings.vercel_project_id,
        fence=ActFence() if in_release else None,
    )


def slack(settings: Settings) -> Slack:
    """The channel that is told."""
    return Slack(settings.slack_webhook_url)


def repository(settings: Settings) -> ReleaseRepository:
    """The git repository that is released."""
    return ReleaseRepository(settings.release_repository, settings.cache_folder / "repository")


@contextmanager
def ledger(settings: Settings) -> Generator[Ledger]:
    """The ledger of releases, closed afterwards."""
    opened = Ledger.open(settings.ledger_url)
    try:
        yield opened
    finally:
        opened.close()


def production_url(settings: Settings) -> str:
    """Where users reach the application, without a slash at its end."""
    return str(settings.production_url).rstrip("/")


def production_branch(settings: Settings) -> Branch:
    """Production's branch, by its name."""
    return neon(settings).branch(settings.neon_production_branch)


def staging_branch(settings: Settings) -> Branch:
    """Staging's branch, by its name."""
    return neon(settings).branch(settings.neon_staging_branch)


def environment_branch(settings: Settings, environment: Literal["staging", "production"]) -> Branch:
    """The branch of an environment, by its name."""
    return production_branch(settings) if environment == "production" else staging_branch(settings)


def owner_dsn(settings: Settings, branch: Branch) -> str:
    """A direct connection string for the role that migrates; a secret, never to be logged or returned from a task."""
    client = neon(settings)
    uri = client.connection_uri(branch.id, database=settings.neon_database, role=settings.neon_owner_role, pooled=False)
    return uri.get_secret_value()


def history(settings: Settings, commit: Commit) -> History:
    """The revisions of a commit, taken from the commit itself and not from the worker's own tree."""
    folder: Path = settings.cache_folder / "revisions" / commit.sha
    return History.load(repository(settings).extract(commit.sha, settings.release_revisions_path, folder))
