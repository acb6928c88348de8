"""A run that may not go on any more sends nothing more, and what it has not committed is rolled back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.errors import NotHeld
from migrations.apply.migrate import downgrade, upgrade
from migrations.apply.taking_over import take_over_database
from migrations.database.locks import MIGRATING
from migrations.history import guard_row
from migrations.history.applied_revisions import ensure_tables
from migrations.history.guard_row import Fence as RunFence
from migrations.history.guard_row import Holder
from migrations.history.revisions import History

REVISION = '''"""Two statements."""
from alembic import op

revision = "{id}"
down_revision = {down!r}
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
{body}


def downgrade() -> None:
    op.execute("DROP TABLE {id}_a")
    op.execute("DROP TABLE {id}_b")
'''
IN_TRANSACTION = '    op.execute("CREATE TABLE {id}_a (n int)")\n    op.execute("CREATE TABLE {id}_b (n int)")'
AUTOCOMMIT = (
    '    with op.get_context().autocommit_block():\n        op.execute("CREATE TABLE {id}_a (n int)")\n'
    '        op.execute("CREATE TABLE {id}_b (n int)")'
)
RAW = (
    "    raw = op.get_bind().connection.dbapi_connection\n"
    '    raw.execute("CREATE TABLE {id}_a (n int)")\n    raw.execute("CREATE TABLE {id}_b (n int)")'
)


def history(folder: Path, body: str) -> History:
    versions = folder / "versions"
    versions.mkdir()
    for name, down in (("r1", None), ("r2", "r1")):
        (versions / f"{name}.py").write_text(REVISION.format(id=name, down=down, body=body.format(id=name)))
    return History.load(folder)


class Fence:
    """Lets so many through."""

    def __init__(self, times: int) -> None:
        self.left = times

    def check(self) -> None:
        if self.left == 0:
            raise PermissionError("somebody else holds the release")
        self.left -= 1


def standing(database: ProvisionedDatabase) -> tuple[set[str], set[str]]:
    with psycopg.connect(database.owner_dsn) as connection:
        tables = {name for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^r[12]_[ab]$'")}
        made = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone() == (True,)
        versions = connection.execute("SELECT version_num FROM alembic_version").fetchall() if made else []
    return tables, {version for (version,) in versions}


@pytest.mark.parametrize("body", [IN_TRANSACTION, RAW], ids=["alembic", "raw"])
@pytest.mark.parametrize("times", range(7))
def test_run_that_lost_its_right_leaves_whole_revisions_behind(
    times: int, body: str, database: ProvisionedDatabase, tmp_path: Path
) -> None:
    with pytest.raises(NotHeld, match="no statement was sent any more: somebody else holds the release") as refused:
        upgrade(database.owner_dsn, history(tmp_path, body), release_id="r", fence=RunFence(Fence(times).check))
    assert not refused.value.transient
    tables, versions = standing(database)
    assert (tables, versions) in [(set(), set()), ({"r1_a", "r1_b"}, {"r1"})]


def test_statement_outside_a_transaction_is_not_sent_by_a_run_that_lost_its_right(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    revisions = history(tmp_path, AUTOCOMMIT)
    with pytest.raises(NotHeld):
        upgrade(database.owner_dsn, revisions, release_id="r", fence=RunFence(Fence(0).check))
    assert standing(database) == (set(), set())
    assert [one.revision for one in upgrade(database.owner_dsn, revisions, release_id="r")] == ["r1", "r2"]


def test_downgrade_that_lost_its_right_takes_nothing_more_away(database: ProvisionedDatabase, tmp_path: Path) -> None:
    revisions = history(tmp_path, IN_TRANSACTION)
    upgrade(database.owner_dsn, revisions, release_id="r")
    with pytest.raises(NotHeld):
        downgrade(database.owner_dsn, revisions, "base", fence=RunFence(Fence(1).check))
    assert standing(database) == ({"r1_a", "r1_b", "r2_a", "r2_b"}, {"r2"})


OPENED = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = Holder("first", OPENED, 1)
TAKEN_OVER = Holder("first", OPENED, 2)
NEXT = Holder("next", OPENED + timedelta(microseconds=1), 1)


def fence_of(
    holder: Holder, database: ProvisionedDatabase, *, taken_by: Holder | None = None, at: int = -1
) -> RunFence:
    """A fence whose ledger lets everything through, and after some looks of which another run takes the database."""
    looks = [at]

    def check() -> None:
        if taken_by is not None and looks[0] == 0:
            with psycopg.connect(database.owner_dsn, autocommit=True) as session:
                guard_row.write_guard(session, taken_by)
        looks[0] -= 1

    return RunFence(check, holder)


@pytest.mark.parametrize("body", [IN_TRANSACTION, RAW], ids=["alembic", "raw"])
@pytest.mark.parametrize("taken_by", [TAKEN_OVER, NEXT], ids=["taken over", "later release"])
@pytest.mark.parametrize("at", range(7))
def test_run_whose_database_was_taken_over_after_the_ledger_was_asked_commits_nothing_more(
    at: int, taken_by: Holder, body: str, database: ProvisionedDatabase, tmp_path: Path
) -> None:
    fence = fence_of(FIRST, database, taken_by=taken_by, at=at)
    with pytest.raises(NotHeld, match=f"release first is no longer ours.*names release {taken_by.release_id}"):
        upgrade(database.owner_dsn, history(tmp_path, body), release_id="first", fence=fence)
    assert standing(database) in [(set(), set()), ({"r1_a", "r1_b"}, {"r1"})]


@pytest.mark.parametrize("late", [FIRST, TAKEN_OVER], ids=["taken over", "earlier release"])
def test_run_that_comes_late_begins_nothing(late: Holder, database: ProvisionedDatabase, tmp_path: Path) -> None:
    revisions = history(tmp_path, IN_TRANSACTION)
    newest = TAKEN_OVER if late is FIRST else NEXT
    upgrade(database.owner_dsn, revisions, target="r1", release_id="r", fence=fence_of(newest, database))
    before = standing(database)
    with pytest.raises(NotHeld):
        upgrade(database.owner_dsn, revisions, release_id="r", fence=fence_of(late, database))
    with pytest.raises(NotHeld):
        downgrade(database.owner_dsn, revisions, "base", fence=fence_of(late, database))
    assert standing(database) == before
    assert [one.revision for one in upgrade(database.owner_dsn, revisions, release_id="r")] == ["r2"]


def test_batch_of_a_backfill_is_not_committed_once_the_database_was_taken_over(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    with psycopg.connect(database.owner_dsn) as session:
        session.execute("CREATE TABLE r0 (id int PRIMARY KEY, n int)")
        session.execute("INSERT INTO r0 SELECT g FROM generate_series(1, 20000) g")
    body = '    op.backfill("r0", {{"n": "id"}}, where="n IS NULL")\n    op.execute("CREATE TABLE {id}_a ()")'
    fence = fence_of(FIRST, database, taken_by=TAKEN_OVER, at=5)
    with pytest.raises(NotHeld):
        upgrade(database.owner_dsn, history(tmp_path, body), target="r1", release_id="first", fence=fence)
    with psycopg.connect(database.owner_dsn) as session:
        kept = session.execute("SELECT sum(changed) FROM pilotage.backfill_batches").fetchone()
        found = session.execute("SELECT count(*) FROM r0 WHERE n IS NOT NULL").fetchone()
    assert found == kept
    assert found is not None
    assert found[0] < 20000


def test_taking_over_waits_for_whoever_is_between_its_last_look_and_its_commit(database: ProvisionedDatabase) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as session:
        assert ensure_tables(session)
        guard_row.write_guard(session, FIRST)
    with psycopg.connect(database.owner_dsn, application_name=MIGRATING) as migrating:
        assert migrating.execute(FIRST.shared_lock.encode()).fetchone() == (True,)
        assert take_over_database(database.owner_dsn, TAKEN_OVER) == 1
        with pytest.raises(psycopg.OperationalError):
            migrating.commit()
    with psycopg.connect(database.owner_dsn) as other:
        assert other.execute(FIRST.shared_lock.encode()).fetchone() is None
    with pytest.raises(NotHeld):
        take_over_database(database.owner_dsn, FIRST)


def test_taking_over_makes_nothing_where_nobody_has_migrated(database: ProvisionedDatabase) -> None:
    assert take_over_database(database.owner_dsn, FIRST) == 0
    with psycopg.connect(database.owner_dsn) as session:
        assert session.execute("SELECT to_regnamespace('pilotage')").fetchone() == (None,)
