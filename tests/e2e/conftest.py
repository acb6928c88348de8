"""Releases end to end: a Prefect server for the session, a platform with v1 live for each file, and its users."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from deployments.ledger import Release
from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings
from flows.release import RolledBack, release
from tasks import connections
from tasks.values import ReleaseRequest
from tests.told_once import assert_told_once
from tests.users_at_work import Users, users_at_work

WATCH_S = 6


@dataclass(frozen=True)
class LivePlatform:
    """A target with v1 in production.

    Attributes:
        platform: the platform that it runs on.
        settings: its settings.
    """

    platform: RunningPlatform
    settings: Settings

    def told(self) -> list[str]:
        """What Slack was sent, oldest first."""
        return [str(message["text"]) for message in self.platform.slack_messages()]

    def newest(self) -> Release:
        """The newest release in the ledger."""
        with connections.ledger(self.settings) as ledger:
            return ledger.releases(target=self.settings.target, limit=1)[0]

    def branches(self) -> set[str]:
        """The names of all branches."""
        return {branch.name for branch in connections.neon(self.settings, in_release=False).branches()}

    @staticmethod
    def release(ref: str, *, reset_staging: bool = False, target_revision: str = "head", rehearse: bool = True) -> str:
        """Release a ref; its summary."""
        request = ReleaseRequest(
            ref=ref,
            watch_seconds=WATCH_S,
            reset_staging=reset_staging,
            target_revision=target_revision,
            rehearse=rehearse,
        )
        return str(release(request))

    def failed_release(self, ref: str, *, reset_staging: bool = False, rehearse: bool = True) -> str:
        """Release a ref that fails; what was done about it."""
        with pytest.raises(RolledBack) as caught:
            self.release(ref, reset_staging=reset_staging, rehearse=rehearse)
        return str(caught.value)


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}),
    ):
        yield


@pytest.fixture(scope="module")
def live(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]],
    prefect: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LivePlatform]:
    """A platform of its own, with v1 released into its empty production."""
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path_factory.mktemp("cache")))
        # How fast a machine is that runs tests says nothing of a release.
        patch.setenv("PILOTAGE_P95_LIMIT_MS", "5000")
        patch.setenv("PILOTAGE_BLOCKING_BUDGET_MS", "10000")
        # Of the 180 or so that users send while a release is watched.
        patch.setenv("PILOTAGE_MINIMUM_REQUESTS", "50")
        assert LivePlatform.release("v1").startswith("release succeeded")
        yield LivePlatform(platform, connections.settings())
        assert_told_once(platform.slack_messages())


@pytest.fixture
def users(live: LivePlatform, tmp_path: Path) -> Callable[[], AbstractContextManager[Users]]:
    """Users at work while a block runs; it begins when all of them have written."""
    return lambda: users_at_work(connections.production_url(live.settings), tmp_path / "acknowledged.txt")
