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


def settings() -> Settings:
    """The worker's settings; SettingsError names what is missing."""
    return load_settings()


def neon(given: Settings) -> NeonClient:
    """The client of Neon's API for the target's project."""
    return NeonClient(given.neon_api_url, given.neon_api_key, given.neon_project_id)


def vercel(given: Settings) -> VercelClient:
    """The client of Vercel's API for the target's project."""
    return VercelClient(given.vercel_api_url, given.vercel_token, given.vercel_team_id, given.vercel_project_id)


def slack(given: Settings) -> Slack:
    """The channel that is told."""
    return Slack(given.slack_webhook_url)


def repository(given: Settings) -> ReleaseRepository:
    """The git repository that is released."""
    return ReleaseRepository(given.release_repository, given.cache_folder / "repository")


@contextmanager
def ledger(given: Settings) -> Generator[Ledger]:
    """The ledger of releases, closed afterwards."""
    opened = Ledger.open(given.ledger_url)
    try:
        yield opened
    finally:
        opened.close()


def production_url(given: Settings) -> str:
    """Where users reach the application, without a slash at its end."""
    return str(given.production_url).rstrip("/")


def production_branch(given: Settings) -> Branch:
    """Production's branch, by its name."""
    return neon(given).branch(given.neon_production_branch)


def staging_branch(given: Settings) -> Branch:
    """Staging's branch, by its name."""
    return neon(given).branch(given.neon_staging_branch)


def environment_branch(given: Settings, environment: Literal["staging", "production"]) -> Branch:
    """The branch of an environment, by its name."""
    return production_branch(given) if environment == "production" else staging_branch(given)


def owner_dsn(given: Settings, branch: Branch) -> str:
    """A direct connection string for the role that migrates; a secret, never to be logged or returned from a task."""
    client = neon(given)
    uri = client.connection_uri(branch.id, database=given.neon_database, role=given.neon_owner_role, pooled=False)
    return uri.get_secret_value()


def history(given: Settings, commit: Commit) -> History:
    """The revisions of a commit, taken from the commit itself and not from the worker's own tree."""
    folder: Path = given.cache_folder / "revisions" / commit.sha
    return History.load(repository(given).extract(commit.sha, given.release_revisions_path, folder))
