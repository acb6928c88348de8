"""A run that may not go on any more sends nothing more, and what it has not committed is rolled back."""

from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.errors import NotHeld
from migrations.apply.migrate import downgrade, upgrade
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

    def __call__(self) -> None:
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
        upgrade(database.owner_dsn, history(tmp_path, body), release_id="r", fence=Fence(times))
    assert not refused.value.transient
    tables, versions = standing(database)
    assert (tables, versions) in [(set(), set()), ({"r1_a", "r1_b"}, {"r1"})]


def test_statement_outside_a_transaction_is_not_sent_by_a_run_that_lost_its_right(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    revisions = history(tmp_path, AUTOCOMMIT)
    with pytest.raises(NotHeld):
        upgrade(database.owner_dsn, revisions, release_id="r", fence=Fence(0))
    assert standing(database) == (set(), set())
    assert [one.revision for one in upgrade(database.owner_dsn, revisions, release_id="r")] == ["r1", "r2"]


def test_downgrade_that_lost_its_right_takes_nothing_more_away(database: ProvisionedDatabase, tmp_path: Path) -> None:
    revisions = history(tmp_path, IN_TRANSACTION)
    upgrade(database.owner_dsn, revisions, release_id="r")
    with pytest.raises(NotHeld):
        downgrade(database.owner_dsn, revisions, "base", fence=Fence(1))
    assert standing(database) == ({"r1_a", "r1_b", "r2_a", "r2_b"}, {"r2"})
