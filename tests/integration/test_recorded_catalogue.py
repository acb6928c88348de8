"""What production and staging are held against: what was recorded, and what the revisions since have made of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import psycopg
import pytest

from deployments.ledger import Release
from deployments.local.running import RunningPlatform
from deployments.settings import Settings
from migrations.apply import upgrade
from tasks import connections, drift, production, staging

V1, V2 = "20250122_1030", "20251101_0900"


class Target:
    """A target whose production stands at v1, as a release recorded it."""

    def __init__(self) -> None:
        self.given: Settings = connections.settings()
        self.commits = {ref: connections.repository(self.given).resolve(ref) for ref in ("v1", "v2", "v3")}

    def begin(self, ref: str) -> Release:
        with connections.ledger(self.given) as ledger:
            return ledger.begin_release(
                target=self.given.target,
                ref=ref,
                commit_sha=self.commits[ref].sha,
                target_revision="head",
                requested_by="a test",
                flow_run_id=None,
                lease_s=60,
            )

    def end(self, release_id: str) -> None:
        with connections.ledger(self.given) as ledger:
            ledger.end_release(release_id, "undecided", "a test")

    def dsn(self, environment: str) -> str:
        branch = connections.production_branch if environment == "production" else connections.staging_branch
        return connections.owner_dsn(self.given, branch(self.given))

    def migrate(self, environment: str, release_id: str, ref: str, revision: str) -> None:
        step = production.migrate_production if environment == "production" else staging.migrate_staging
        step.fn(release_id, self.commits[ref], revision)

    def apply_and_die(self, environment: str, release_id: str, ref: str, revision: str) -> None:
        """Apply revisions as a release does whose process ends before it can write down what stands."""
        history = connections.history(self.given, self.commits[ref])
        upgrade(self.dsn(environment), history, target=revision, release_id=release_id)

    def execute(self, environment: str, statement: str) -> None:
        with psycopg.connect(self.dsn(environment), autocommit=True) as connection:
            connection.execute(statement.encode())

    @staticmethod
    def drift(environment: str) -> list[str]:
        return [f"{one.kind} {one.subject}" for one in drift.check_environment.fn(environment).findings]


@pytest.fixture(scope="module")
def target(
    bring_up: Callable[[], AbstractContextManager[RunningPlatform]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    with bring_up() as platform, pytest.MonkeyPatch.context() as patch:
        for name, value in platform.env.items():
            patch.setenv(name, value)
        patch.setenv("PILOTAGE_CACHE_FOLDER", str(tmp_path_factory.mktemp("cache")))
        made = Target()
        first = made.begin("v1")
        for environment in ("staging", "production"):
            made.migrate(environment, first.id, "v1", V1)
            assert made.drift(environment) == []
        made.end(first.id)
        yield made


@pytest.mark.parametrize("environment", ["production", "staging"])
@pytest.mark.parametrize(
    ("ref", "revision", "recorded"),
    [
        pytest.param("v2", V2, True, id="recorded"),
        pytest.param("v3", "20251104_0900", False, id="killed before it was recorded"),
    ],
)
def test_what_a_release_s_own_revisions_made_is_no_drift_and_what_a_hand_made_is(
    target: Target, environment: str, ref: str, revision: str, recorded: bool
) -> None:
    release = target.begin(ref)
    # In the middle of the release, as a release's own revisions are applied.
    target.execute(environment, 'ALTER TABLE users ADD COLUMN "byHand" text')
    act = target.migrate if recorded else target.apply_and_die
    act(environment, release.id, ref, revision)
    assert target.drift(environment) == ['catalogue column users."byHand"']
    target.end(release.id)
    assert target.drift(environment) == ['catalogue column users."byHand"']
    target.execute(environment, 'ALTER TABLE users DROP COLUMN "byHand"')
    assert target.drift(environment) == []
