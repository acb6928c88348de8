"""The services of a platform: what each is made of, and by which settings the product finds them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.local.errors import LocalPlatformError, PieceFailedError
from deployments.local.hosting.faults import install_faults
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.servers import HttpServer
from deployments.local.hosting.state import StateFolder
from deployments.local.neon.api import create_neon_app
from deployments.local.neon.branches import BranchStore
from deployments.local.neon.project import Seed, open_project
from deployments.local.postgres.cluster import data_root
from deployments.local.releases import make_repository
from deployments.local.slack.webhook import create_slack_app
from deployments.local.vercel.api import create_vercel_app
from deployments.local.vercel.production import create_address_app
from deployments.local.vercel.project import Identity, VercelProject

_SEED = Seed()


@dataclass(frozen=True)
class Service:
    """A service that runs: its address, and the settings by which the product finds it."""

    url: str
    environment: dict[str, str]


class Services:
    """Starts the services of a platform, one after the other.

    Args:
        folder: where each keeps what it has.
        spawner: starts their processes.
        parts: how each is stopped is pushed to it.
        tell: told what is started.
    """

    def __init__(self, folder: StateFolder, spawner: Spawner, parts: ExitStack, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._spawner = spawner
        self._parts = parts
        self._tell = tell

    def start(self) -> None:
        """Start all of them.

        Raises:
            PieceFailedError: one did not start; it is named.
        """
        with self._piece("PostgreSQL", "branches main and staging"):
            project = open_project(data_root(self._folder.path), spawner=self._spawner, seed=_SEED)
            store = self._parts.enter_context(project)
        with self._piece("Neon", "API v2 over these branches"):
            self.neon = self._start_neon(store)
        with self._piece("Slack", "a webhook that keeps what it is sent"):
            self.slack = self._start_slack()
        with self._piece("git", "the repository that is released"):
            repository = make_repository(self._folder.services / "git")
        with self._piece("Vercel", "builds of its commits, and production's address"):
            self.vercel, self.production = self._start_vercel(repository)

    @property
    def environment(self) -> dict[str, str]:
        """The settings by which the product finds everything that runs here."""
        parts = (self.neon, self.slack, self.vercel, self.production)
        ledger = {"LEDGER_URL": f"sqlite:///{self._folder.services / 'ledger.db'}"}
        return {name: value for part in parts for name, value in part.environment.items()} | ledger

    def _start_neon(self, store: BranchStore) -> Service:
        key = f"napi_{secrets.token_hex(24)}"
        app = create_neon_app(store, api_key=key)
        server = self._parts.enter_context(HttpServer("neon", app))
        return Service(
            server.url,
            {
                "NEON_API_URL": f"{server.url}/api/v2",
                "NEON_API_KEY": key,
                "NEON_PROJECT_ID": store.project.id,
                "NEON_PRODUCTION_BRANCH": _SEED.production,
                "NEON_STAGING_BRANCH": _SEED.staging,
                "NEON_DATABASE": _SEED.database,
                "NEON_OWNER_ROLE": _SEED.owner,
                "NEON_APP_ROLE": _SEED.app,
            },
        )

    def _start_slack(self) -> Service:
        team, hook = secrets.token_hex(4).upper(), secrets.token_hex(4).upper()
        path = f"/services/T{team}/B{hook}/{secrets.token_urlsafe(18)}"
        app = create_slack_app(webhook_path=path, kept=self._folder.services / "slack.jsonl")
        install_faults(app)
        server = self._parts.enter_context(HttpServer("slack", app))
        return Service(server.url, {"SLACK_WEBHOOK_URL": server.url + path})

    def _start_vercel(self, repository: Path) -> tuple[Service, Service]:
        identity = Identity()
        project = VercelProject(
            identity, repository=repository, folder=self._folder.services / "builds", spawner=self._spawner
        )
        (self._folder.services / "builds").mkdir(parents=True, exist_ok=True)
        self._parts.callback(project.close)
        server = self._parts.enter_context(HttpServer("vercel", create_vercel_app(project)))
        project.config_url = server.url
        address = create_address_app(project.production, bypass_secret=None)
        production = self._parts.enter_context(HttpServer("production", address))
        vercel = {
            "VERCEL_API_URL": server.url,
            "VERCEL_TOKEN": identity.token,
            "VERCEL_TEAM_ID": identity.team_id,
            "VERCEL_PROJECT_ID": identity.project_id,
            "VERCEL_CONFIG_ID": identity.config_id,
            "VERCEL_AUTOMATION_BYPASS_SECRET": identity.bypass_secret,
            "RELEASE_REPOSITORY": str(repository),
        }
        return Service(server.url, vercel), Service(production.url, {"PRODUCTION_URL": production.url})

    @contextmanager
    def _piece(self, name: str, what: str) -> Generator[None]:
        """Name the part that is started, to whoever watches and in what goes wrong."""
        self._tell(f"{name}: {what}")
        try:
            yield
        except PieceFailedError:
            raise
        except (LocalPlatformError, OSError) as error:
            raise PieceFailedError(name, str(error), log=self._folder.logs / "platform.log") from error
