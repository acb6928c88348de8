"""What production and staging are held against: what was recorded, and what the revisions since have made of it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from deployments.ledger import Release
from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings
from migrations.apply.migrate import downgrade, upgrade
from migrations.catalog.contents import Catalog, read_catalog
from migrations.database.session import reader
from migrations.history.revisions import History
from migrations.restore.restore_point import Seal
from tasks import catalogue, connections
from tasks.steps import drift, production, staging
from tasks.steps.status import read_environment
from tasks.steps.unrecorded_grants import record_unrecorded_grants
from tasks.values import RestorePoint

V1, V2 = "20250122_1030", "20251101_0900"
# Where the first test leaves production.
STANDS, NEXT = "20251104_0900", "20251107_1000"


class Target:
    """A target whose production stands at v1, as a release recorded it."""

    def __init__(self) -> None:
        self.settings: Settings = connections.settings()
        self.commits = {ref: connections.repository(self.settings).resolve(ref) for ref in ("v1", "v2", "v3")}

    def begin(self, ref: str) -> Release:
        with connections.ledger(self.settings) as ledger:
            return ledger.begin_release(
                target=self.settings.target,
                ref=ref,
                commit_sha=self.commits[ref].sha,
                target_revision="head",
                requested_by="a test",
                flow_run_id=None,
                lease_s=60,
            )

    def end(self, release_id: str) -> None:
        with connections.ledger(self.settings) as ledger:
            ledger.end_release(release_id, "undecided", "a test")

    def dsn(self, environment: str) -> str:
        branch = connections.production_branch if environment == "production" else connections.staging_branch
        return connections.owner_dsn(self.settings, branch(self.settings))

    def migrate(self, environment: str, release_id: str, ref: str, revision: str) -> None:
        step = production.migrate_production if environment == "production" else staging.migrate_staging
        step.fn(release_id, self.commits[ref], revision)

    def apply_and_die(self, environment: str, release_id: str, ref: str, revision: str) -> None:
        """Apply revisions as a release does whose process ends before it can write down what stands."""
        history = connections.history(self.settings, self.commits[ref])
        upgrade(self.dsn(environment), history, target=revision, release_id=release_id)

    def execute(self, environment: str, statement: str) -> None:
        with psycopg.connect(self.dsn(environment), autocommit=True) as connection:
            connection.execute(statement.encode())

    def point(self, environment: str, revisions: tuple[str, ...]) -> RestorePoint:
        """A restore point of what stands, whose place in the history nobody goes to."""
        with reader(self.dsn(environment)) as connection:
            sealed = read_catalog(connection).to_json()
        seal = Seal("0/1", "1:1:", (), datetime(2026, 11, 27, tzinfo=UTC), 1)
        return RestorePoint("br_1", "br_2", seal, "", sealed, revisions, "dpl_1", (), NEXT)

    def recorded(self, environment: str) -> Catalog:
        with connections.ledger(self.settings) as ledger:
            kept = ledger.recorded_catalog(self.settings.target, environment)
        assert kept is not None
        return Catalog.from_json(kept.catalog_json)

    def record(self, environment: str, catalog: Catalog) -> None:
        """Replace what was recorded last, in the name of the same release."""
        with connections.ledger(self.settings) as ledger:
            kept = ledger.recorded_catalog(self.settings.target, environment)
            assert kept is not None
            ledger.record_catalog(
                self.settings.target,
                environment,
                release_id=kept.release_id,
                revision=kept.revision,
                digest=catalog.digest,
                catalog_json=catalog.to_json(),
            )

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
        pytest.param("v3", STANDS, False, id="killed before it was recorded"),
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


def test_what_was_taken_back_is_no_drift_before_it_is_recorded_and_after(target: Target) -> None:
    point = target.point("production", (STANDS,))
    release = target.begin("v3")
    target.migrate("production", release.id, "v3", NEXT)
    target.end(release.id)
    history = connections.history(target.settings, target.commits["v3"])
    target.execute("production", 'ALTER TABLE users ADD COLUMN "byHand" text')
    by_hand = ['catalogue column users."byHand"']
    downgrade(target.dsn("production"), history, STANDS, release_id=release.id)
    assert target.drift("production") == by_hand
    rollback = target.begin("v3")
    catalogue.record_restored_catalog.fn(rollback.id, release.id, point)
    target.end(rollback.id)
    with connections.ledger(target.settings) as ledger:
        kept = ledger.recorded_catalog(target.settings.target, "production")
    assert kept is not None
    assert (kept.revision, kept.release_id) == (STANDS, rollback.id)
    assert target.drift("production") == by_hand
    target.execute("production", 'ALTER TABLE users DROP COLUMN "byHand"')
    assert target.drift("production") == []


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_grants_that_a_take_over_did_not_record_are_told_with_the_release_that_records_them(
    target: Target, environment: Literal["production", "staging"]
) -> None:
    history = connections.history(target.settings, target.commits["v3"])
    whole = target.recorded(environment)
    # As releases recorded a table that a revision found there already: with all but its grants.
    grants = {one.name for one in whole.of_kind("grant") if one.name.startswith("users to ")}
    old = Catalog.of(one for one in whole.objects if one.kind != "grant" or one.name not in grants)
    target.record(environment, old)
    target.execute(environment, "GRANT SELECT ON users TO PUBLIC")
    told = {one.subject: one.advice for one in drift.check_environment.fn(environment).findings}
    assert set(told) == {f"grant {name}" for name in (*grants, "users to public")}
    assert "undo it" in told.pop("grant users to public")
    assert [advice for advice in told.values() if "`pilotage release start`" not in advice] == []
    branch = (
        target.settings.neon_production_branch if environment == "production" else target.settings.neon_staging_branch
    )
    found = read_environment(target.settings, branch, environment, history, STANDS, takes_over=True)
    assert [one.subject for one in found.drift] == ["grant users to public"]
    assert set(found.unrecorded_grants) == grants
    release = target.begin("v3")
    record_unrecorded_grants.fn(release.id, target.commits["v3"], [environment])
    target.end(release.id)
    assert target.drift(environment) == ["catalogue grant users to public"]
    target.execute(environment, "REVOKE SELECT ON users FROM PUBLIC")
    assert target.drift(environment) == []
    assert target.recorded(environment) == whole


BY_HAND = {
    "index": "CREATE INDEX CONCURRENTLY IF NOT EXISTS users_by_hand ON users (email, id)",
    "column": "ALTER TABLE users ADD COLUMN IF NOT EXISTS nickname text CHECK (nickname <> '')",
    "table": "CREATE TABLE IF NOT EXISTS by_hand (id integer PRIMARY KEY, name text NOT NULL)",
    "grant": "GRANT SELECT ON by_hand TO PUBLIC",
    "function": "CREATE OR REPLACE FUNCTION by_hand() RETURNS integer LANGUAGE sql RETURN 1",
    "constraint": """DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'named_by_hand') THEN
            ALTER TABLE users ADD CONSTRAINT named_by_hand CHECK (email <> '') NOT VALID;
        END IF;
    END $$""",
}
OTHERWISE = {
    "index": "CREATE INDEX users_by_hand ON users (id, email)",
    "column without its constraint": "ALTER TABLE users ADD COLUMN nickname text",
    "column": "ALTER TABLE users ADD COLUMN nickname varchar(9) CHECK (nickname <> '')",
    "table": "CREATE TABLE by_hand (id integer PRIMARY KEY)",
    "grant": "CREATE TABLE by_hand (id integer PRIMARY KEY, name text NOT NULL); GRANT INSERT ON by_hand TO PUBLIC",
    "function": "CREATE FUNCTION by_hand() RETURNS integer LANGUAGE sql RETURN 2",
    "beside it": "CREATE TABLE beside (id integer)",
}
UNDO = """
DROP INDEX IF EXISTS users_by_hand; ALTER TABLE users DROP COLUMN IF EXISTS nickname; DROP TABLE IF EXISTS by_hand;
DROP FUNCTION IF EXISTS by_hand(); DROP TABLE IF EXISTS beside
"""


def taking_over(target: Target, folder: Path) -> History:
    """The history whose last revision makes all of it where it is missing."""
    old = connections.history(target.settings, target.commits["v3"])
    for one in old.revisions:
        if one.id <= STANDS:
            shutil.copy(one.path, folder)
    statements = "".join(f"        op.execute({statement!r})\n" for statement in BY_HAND.values())
    (folder / "20991231_0000_take_over_by_hand.py").write_text(
        f'"""Take over."""\nfrom alembic import op\nrevision, down_revision = "20991231_0000", {STANDS!r}\n'
        'branch_labels = depends_on = None\nphase = "expand"\n'
        f"def upgrade():\n    with op.get_context().autocommit_block():\n{statements}"
        "def downgrade():\n    pass\n"
    )
    return History.load(folder)


@pytest.mark.parametrize("otherwise", OTHERWISE)
def test_what_a_pending_revision_would_not_make_identically_is_drift(
    target: Target, tmp_path: Path, otherwise: str
) -> None:
    history = taking_over(target, tmp_path)
    target.execute("production", OTHERWISE[otherwise])
    try:
        found = read_environment(target.settings, "main", "production", history, "20991231_0000", takes_over=True)
    finally:
        target.execute("production", UNDO)
    assert [one for one in found.drift if one.blocks_release]


def test_a_change_by_hand_that_a_pending_revision_promises_is_taken_over_by_it(target: Target, tmp_path: Path) -> None:
    release = target.begin("v3")
    history = taking_over(target, tmp_path)
    # What stands is what was recorded last, as after any release.
    catalogue.record_catalog(target.settings, release.id, "production", target.dsn("production"), history)
    for statement in BY_HAND.values():
        target.execute("production", statement)
    found = read_environment(target.settings, "main", "production", history, "20991231_0000", takes_over=True)
    assert found.drift == ()
    assert {
        "index users_by_hand",
        "column users.nickname",
        "constraint users.users_nickname_check",
        "table by_hand",
        "column by_hand.name",
        "constraint by_hand.by_hand_pkey",
        "function by_hand()",
        "constraint users.named_by_hand",
    } <= set(found.changes_taken_over)
    # Until it is released it is drift, and the message says both ways.
    told = drift.check_environment.fn("production")
    assert "undo it; or release a revision that takes it over" in told.text
    target.execute("production", "GRANT SELECT ON users TO PUBLIC")
    with catalogue.recording_catalog(target.settings, release.id, "production", target.dsn("production"), history):
        upgrade(target.dsn("production"), history, target="20991231_0000", release_id=release.id)
    target.end(release.id)
    found = read_environment(target.settings, "main", "production", history, "20991231_0000")
    assert [one.subject for one in found.drift] == ["grant users to public"]
    target.execute("production", "REVOKE SELECT ON users FROM PUBLIC")
    assert read_environment(target.settings, "main", "production", history, "20991231_0000").drift == ()
